// Package e2e runs the built server as a process and puts real clients on it:
// released y-websocket versions in Node and the start page in Chromium. The
// package itself only builds, starts and stops the server, for its own tests and
// for those of its neighbours; it never looks inside.
package e2e
