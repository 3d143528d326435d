package syncproto

import (
	"testing"

	"ysync/internal/lib0"
)

func hocuspocusFrame(address string, rest ...byte) []byte {
	return append(lib0.AppendString(nil, address), rest...)
}

func TestSniff(t *testing.T) {
	token := lib0.AppendString([]byte{hocuspocusAuth, 0}, "eyJhbGciOiJIUzI1NiJ9.e30.sig")
	withVersion := lib0.AppendString(token[:len(token):len(token)], "4.5.0")
	state := AppendAwareness(nil, []byte("\x01\xf5\x07\x01\x0d{\"user\":\"al\"}"))
	for _, c := range []struct {
		name  string
		frame []byte
		want  Dialect
	}{
		{"SyncStep1", AppendSyncStep1(nil, []byte{0}), YWebSocket},
		{"SyncStep1 of a known document", AppendSyncStep1(nil, unhex(t, "02 eb 07 05 01 03")), YWebSocket},
		{"awareness first", state, YWebSocket},
		{"a null awareness first", AppendAwareness(nil, []byte("\x01\xeb\x07\x00\x04null")), YWebSocket},
		{"keepalive first", Keepalive, YWebSocket},
		{"auth first", AppendPermissionDenied(nil, "a token"), YWebSocket},
		{"query first", AppendQueryAwareness(nil), YWebSocket},
		{"acknowledgement first", AppendAck(nil, []byte{0}), YWebSocket},
		{"SyncStep1 and awareness in one frame", append(AppendSyncStep1(nil, []byte{0}), state...), YWebSocket},

		{"token for a", hocuspocusFrame("a", token...), Hocuspocus},
		{"token and version for a", hocuspocusFrame("a", withVersion...), Hocuspocus},
		{"token for an address with a session", hocuspocusFrame("notes\x00s1", token...), Hocuspocus},
		{"SyncStep1 for a", hocuspocusFrame("a", 0, 0, 1, 0), Hocuspocus},
		{"SyncStep1 for abc", hocuspocusFrame("abc", 0, 0, 1, 0), Hocuspocus},
		{"awareness for f", hocuspocusFrame("f", AppendAwareness(nil, []byte("\x01\xeb\x07\x00\x04null"))...), Hocuspocus},
		{"query for a name", hocuspocusFrame("trip/2026", 3), Hocuspocus},
		{"stateless for a name", hocuspocusFrame("trip", 5, 1, 'x'), Hocuspocus},
		{"detach", hocuspocusFrame("trip", 7), Hocuspocus},

		{"nothing", nil, Neither},
		{"one unknown byte", []byte{9}, Neither},
		{"text", []byte("GET / HTTP/1.1"), Neither},
		{"half a SyncStep1", []byte{0, 0, 5, 1}, Neither},
		{"a name without a message", hocuspocusFrame("trip"), Neither},
		{"an empty name", hocuspocusFrame("", 3), Neither},
		{"what only a server sends", hocuspocusFrame("trip", 8, 1), Neither},
		{"trailing bytes", hocuspocusFrame("trip", 3, 0), Neither},
	} {
		if got := Sniff(c.frame); got != c.want {
			t.Errorf("%s (% x): %v, want %v", c.name, c.frame, got, c.want)
		}
	}
}

// TestSniffNamesOfEveryLength sends the frames that a Hocuspocus client may
// start with for names of every length: the length takes every value that the
// other dialect reads as a type.
func TestSniffNamesOfEveryLength(t *testing.T) {
	for n := 1; n <= 256; n++ {
		for _, letter := range []byte{'a', 'f', '!', '~', ' '} {
			name := make([]byte, n)
			for i := range name {
				name[i] = letter
			}
			for _, rest := range [][]byte{
				lib0.AppendString([]byte{hocuspocusAuth, 0}, "token"),
				{hocuspocusSync, 0, 1, 0},
				AppendAwareness(nil, []byte("\x01\xeb\x07\x01\x02{}")),
			} {
				if got := Sniff(hocuspocusFrame(string(name), rest...)); got != Hocuspocus {
					t.Fatalf("name of %d %q, then % x: %v", n, letter, rest, got)
				}
			}
		}
	}
}
