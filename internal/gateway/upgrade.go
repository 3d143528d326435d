package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// ioBuffer is the size of a connection's read and write buffers. Reads of
// large payloads pass the buffer by; only headers and small frames use it.
const ioBuffer = 512

// smallHijacker replaces the 4 KiB buffers that net/http hands over with a
// hijacked connection by small ones, and the connection by a socket.
type smallHijacker struct {
	http.ResponseWriter
	socket socket
}

// Hijack is called by the WebSocket library after it sent the response.
func (h *smallHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket.Conn = nc
	h.socket.turn = make(chan struct{}, 1)
	// A client may send its first frames together with the request. The
	// library takes over what is buffered in the reader, so that is where
	// these bytes must be.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(early)), nc), max(ioBuffer, len(early)))
	if _, err := r.Peek(len(early)); err != nil {
		return nil, nil, err
	}
	return &h.socket, bufio.NewReadWriter(r, bufio.NewWriterSize(&h.socket, ioBuffer)), nil
}

// upgrade answers the handshake. On failure it has answered the request.
func (c *conn) upgrade(w http.ResponseWriter, r *http.Request) error {
	h := &smallHijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		// One of the offered subprotocols must be chosen, or browsers fail
		// the connection; which one makes no difference.
		Subprotocols: offeredSubprotocol(r),
		// The server has judged the origin already, by its own rule.
		InsecureSkipVerify: true,
		OnPingReceived:     c.ping,
	})
	if err != nil {
		return err
	}
	// The limit is kept by the reader of messages, which names it in the close.
	ws.SetReadLimit(-1)
	c.ws = ws
	c.socket = &h.socket
	h.ResponseWriter = nil
	return nil
}

func offeredSubprotocol(r *http.Request) []string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if offer = strings.TrimSpace(offer); offer != "" {
				return []string{offer}
			}
		}
	}
	return nil
}

// isUpgrade reports whether the request asks for a WebSocket, however badly:
// what is wrong with it is for the handshake to say.
func isUpgrade(r *http.Request) bool {
	for _, line := range r.Header.Values("Upgrade") {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "websocket") {
				return true
			}
		}
	}
	return false
}
