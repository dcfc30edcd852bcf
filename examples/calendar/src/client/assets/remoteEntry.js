// The calendar's Module Federation container. The host finds it as window.calendar: the plugin's id without - and _.
(() => {
  "use strict";

  let shared = {};

  async function fetchEvents(apiBase) {
    const response = await fetch(`${apiBase}/events`);
    if (!response.ok) {
      throw new Error(`the calendar's backend answered ${response.status}`);
    }
    return (await response.json()).events;
  }

  // Draw into an element; gives a function that takes the calendar away again.
  function mount(element, { apiBase = "/api/integrations/calendar" } = {}) {
    const document = element.ownerDocument;
    const list = document.createElement("ul");
    let gone = false;
    element.append(list);
    fetchEvents(apiBase)
      .then((events) => {
        if (gone) return;
        for (const event of events) {
          const item = document.createElement("li");
          item.textContent = `${event.start}  ${event.title}`; // text, never HTML: titles come from users
          list.append(item);
        }
      })
      .catch((error) => {
        if (!gone) list.textContent = `No calendar: ${error.message}`;
      });
    return () => {
      gone = true;
      list.remove();
    };
  }

  // The newest React that the host shares, or null.
  async function sharedReact() {
    const versions = Object.values(shared.react ?? {});
    return versions.length ? (await versions[versions.length - 1].get())() : null;
  }

  async function pluginApp() {
    const react = await sharedReact();
    function PluginApp({ apiBase }) {
      const place = react.useRef(null);
      react.useEffect(() => mount(place.current, { apiBase }), [apiBase]);
      return react.createElement("div", { ref: place });
    }
    return { mount, default: react ? PluginApp : mount };
  }

  window.calendar = {
    async init(scope) {
      shared = scope ?? {};
    },
    async get(name) {
      if (name.replace(/^\.\//, "") !== "PluginApp") {
        throw new Error(`the calendar exposes ./PluginApp, not ${name}`);
      }
      const module = await pluginApp();
      return () => module;
    },
  };
})();
