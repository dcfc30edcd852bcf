// The calendar's backend. Events are kept in memory: replace `events` to keep them for good.
import { createServer } from "node:http";

const ROUTE_BASE = "/api/integrations/calendar";
const MAX_BODY = 16 * 1024;
const MAX_EVENTS = 10_000;
const events = [{ id: 1, title: "Release day", start: "2026-01-31T09:00:00Z" }];

class BadRequest extends Error {}

function send(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

async function readJson(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY) throw new BadRequest(`at most ${MAX_BODY} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new BadRequest("expected JSON");
  }
}

function addEvent(value) {
  const { title, start } = value ?? {};
  if (typeof title !== "string" || title === "" || title.length > 200) {
    throw new BadRequest("expected a title of 1 to 200 characters");
  }
  if (typeof start !== "string" || Number.isNaN(Date.parse(start))) {
    throw new BadRequest("expected a start such as 2026-01-31T09:00:00Z");
  }
  if (events.length >= MAX_EVENTS) throw new BadRequest("the calendar is full");
  const event = { id: events.length + 1, title, start: new Date(start).toISOString() };
  events.push(event);
  return event;
}

const server = createServer(async (request, response) => {
  const route = `${request.method} ${(request.url ?? "").split("?", 1)[0]}`;
  try {
    if (route === "GET /api/health") send(response, 200, { status: "healthy", events: events.length });
    else if (route === `GET ${ROUTE_BASE}/events`) send(response, 200, { events });
    else if (route === `POST ${ROUTE_BASE}/events`) send(response, 201, addEvent(await readJson(request)));
    else send(response, 404, { error: "no such route" });
  } catch (error) {
    if (!(error instanceof BadRequest)) console.error(error);
    const bad = error instanceof BadRequest;
    send(response, bad ? 400 : 500, { error: bad ? error.message : "internal error" });
  }
});

server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? "127.0.0.1", () => {
  const { address, port } = server.address();
  console.log(`calendar backend on http://${address}:${port}`);
});
