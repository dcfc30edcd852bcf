<?php
/**
 * Plugin Name: WP Bridge
 * Description: Connects this site and keeps itself up to date from a plugin registry.
 * Version: 1.0.1
 * Requires at least: 6.1
 * Requires PHP: 8.0
 * Author: Acme
 * License: MIT
 * Update URI: https://registry.example/plugins/wp-bridge
 */

namespace Acme\WpBridge;

defined( 'ABSPATH' ) || exit;

const ID       = 'wp-bridge';
const VERSION  = '1.0.1';
const CACHE    = 'wp_bridge_manifest';
const MAX_SIZE = 262144; // the registry's limit for a manifest

add_filter( 'pre_set_site_transient_update_plugins', __NAMESPACE__ . '\\offer_update' );
add_filter( 'plugins_api', __NAMESPACE__ . '\\describe', 10, 3 );
add_filter( 'upgrader_pre_download', __NAMESPACE__ . '\\download', 10, 4 );

/** The registry's URL without a trailing slash, or '' if none is set. Only https:// will do. */
function registry(): string {
	$url = defined( 'WP_BRIDGE_REGISTRY' ) ? (string) constant( 'WP_BRIDGE_REGISTRY' ) : '';
	return str_starts_with( $url, 'https://' ) ? rtrim( $url, '/' ) : '';
}

/** The newest public manifest as an array, asked for at most every five minutes; null if there is none. */
function manifest(): ?array {
	if ( '' === registry() ) {
		return null;
	}
	$text = get_site_transient( CACHE );
	if ( ! is_string( $text ) ) {
		$response = wp_remote_get(
			registry() . '/plugins/' . ID . '.json',
			array(
				'timeout'             => 10,
				'limit_response_size' => MAX_SIZE,
			)
		);
		// A failure is remembered too, so that a dead registry does not slow every page down.
		$text = 200 === wp_remote_retrieve_response_code( $response ) ? wp_remote_retrieve_body( $response ) : '';
		set_site_transient( CACHE, $text, 300 );
	}
	$manifest = json_decode( $text, true, 32 );
	return is_array( $manifest ) && ID === ( $manifest['id'] ?? null ) ? $manifest : null;
}

/** URL, digest and version of the newest WordPress package, or null. */
function package(): ?array {
	$manifest = manifest();
	$version  = $manifest['version'] ?? null;
	foreach ( is_array( $manifest['artifacts'] ?? null ) ? $manifest['artifacts'] : array() as $artifact ) {
		$url    = $artifact['url'] ?? null;
		$digest = $artifact['digest'] ?? null;
		if ( 'wordpress' !== ( $artifact['ecosystem'] ?? null ) || ! is_string( $url ) || ! is_string( $version ) ) {
			continue;
		}
		if ( is_string( $digest ) && preg_match( '/\Asha256:[0-9a-f]{64}\z/', $digest ) ) {
			// A URL without a scheme is relative to the registry.
			$url = str_contains( $url, ':' ) ? $url : registry() . '/' . $url;
			return array(
				'url'     => $url,
				'digest'  => $digest,
				'version' => $version,
			);
		}
	}
	return null;
}

/** Tell WordPress of a newer version. */
function offer_update( $transient ) {
	if ( ! is_object( $transient ) || empty( $transient->checked ) ) {
		return $transient;
	}
	$package = package();
	if ( null !== $package && version_compare( $package['version'], VERSION, '>' ) ) {
		$file                         = plugin_basename( __FILE__ );
		$transient->response[ $file ] = (object) array(
			'slug'        => ID,
			'plugin'      => $file,
			'new_version' => $package['version'],
			'package'     => $package['url'],
			'url'         => registry(),
		);
	}
	return $transient;
}

/** What WordPress shows under "View details". */
function describe( $result, $action, $args ) {
	$manifest = 'plugin_information' === $action && ID === ( $args->slug ?? null ) ? manifest() : null;
	if ( null === $manifest ) {
		return $result;
	}
	$package = package();
	return (object) array(
		'name'          => esc_html( (string) ( $manifest['name'] ?? ID ) ),
		'slug'          => ID,
		'version'       => (string) ( $manifest['version'] ?? '' ),
		'author'        => esc_html( (string) ( $manifest['author']['name'] ?? '' ) ),
		'sections'      => array(
			'description' => esc_html( (string) ( $manifest['description'] ?? '' ) ),
			'changelog'   => nl2br( esc_html( (string) ( $manifest['changelog'] ?? '' ) ) ),
		),
		'download_link' => $package['url'] ?? '',
	);
}

/**
 * Download our own package and refuse it if its digest is not the manifest's.
 *
 * WordPress says which plugin it updates. For this one, no URL but the manifest's will do: WordPress keeps offers for hours, and without
 * this an older one, or one that outlives the registry, would be installed unseen.
 */
function download( $reply, $url, $upgrader, $extra = array() ) {
	$package = package();
	$current = null !== $package && $url === $package['url'];
	$ours    = is_array( $extra ) && plugin_basename( __FILE__ ) === ( $extra['plugin'] ?? null );
	if ( false !== $reply || ( ! $ours && ! $current ) ) {
		return $reply;
	}
	if ( ! $current ) {
		return new \WP_Error( 'wp_bridge_offer', 'WP Bridge: the registry does not state this package now; it was not installed. Check for updates again.' );
	}
	$file = download_url( $url );
	if ( is_wp_error( $file ) ) {
		return $file;
	}
	if ( ! hash_equals( $package['digest'], 'sha256:' . hash_file( 'sha256', $file ) ) ) {
		wp_delete_file( $file );
		return new \WP_Error( 'wp_bridge_digest', 'WP Bridge: the package is not the one that the registry states; it was not installed.' );
	}
	return $file;
}
