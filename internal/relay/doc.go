// Package relay connects sessions with documents at other nodes.
package relay
