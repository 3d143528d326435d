package gateway

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// ioBuffer is the size of the buffers that the WebSocket library is given, the
// least there is. The socket reads ahead into a pooled buffer, and the library
// writes control frames only.
const ioBuffer = 16

// smallHijacker replaces the 4 KiB buffers that net/http hands over with a
// hijacked connection by small ones, and the connection by a socket.
type smallHijacker struct {
	http.ResponseWriter
	socket *socket
}

// Hijack is called by the WebSocket library after it sent the response.
func (h *smallHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s := h.socket
	if r, ok := nc.(*replayed); ok && len(r.head) == 0 {
		nc = r.Conn
	}
	s.Conn = nc
	s.turn = newBaton()
	s.in = bufio.NewReaderSize(s, ioBuffer)
	s.meter = meterOf(nc)
	s.initRaw()
	// A client may send its first frames together with the request.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	s.ahead = bytes.Clone(early)
	return s, bufio.NewReadWriter(s.in, bufio.NewWriterSize(s, ioBuffer)), nil
}

// upgrade answers the handshake. On failure it has answered the request.
func (c *conn) upgrade(w http.ResponseWriter, r *http.Request) error {
	compression := websocket.CompressionDisabled
	if c.server.options.Compress {
		compression = websocket.CompressionNoContextTakeover
	}
	ws, err := websocket.Accept(&smallHijacker{ResponseWriter: w, socket: &c.socket}, r, &websocket.AcceptOptions{
		Subprotocols: chosenSubprotocol(r),
		// The server has judged the origin already, by its own rule.
		InsecureSkipVerify: true,
		OnPingReceived:     c.ping,
		CompressionMode:    compression,
	})
	if err != nil {
		return err
	}
	c.deflates = w.Header().Get("Sec-WebSocket-Extensions") != ""
	// The limit is kept by the reader of messages, which names it in the close.
	ws.SetReadLimit(-1)
	c.ws = ws
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
