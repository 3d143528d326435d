package syncproto

import "ysync/internal/lib0"

// AppendPermissionDenied appends a message that refuses the session, which
// stock clients only log. A reason beyond MaxTextBytes is the caller's mistake:
// a Decoder refuses it (y-protocols auth.js writePermissionDenied).
func AppendPermissionDenied(dst []byte, reason string) []byte {
	return lib0.AppendString(append(dst, typeAuth, authDenied), reason)
}

// AppendAuthGranted appends a message that tells a client that its token was
// taken. Stock clients ignore it.
func AppendAuthGranted(dst []byte) []byte { return append(dst, typeAuth, authGranted) }

// AppendTokenWanted appends a message that asks for a fresh token. Stock clients
// ignore it (y-protocols auth.js readAuthMessage knows inner type 0 alone); it is
// for those that have sent a token in a message.
func AppendTokenWanted(dst []byte) []byte { return append(dst, typeAuth, authWanted) }

// decodeAuth follows y-protocols auth.js readAuthMessage, which reads the text
// of inner type 0 and takes any other for a message without a body. Of those
// only the one in use is known here.
func decodeAuth(r *lib0.Reader, m *Message) {
	m.Sub = r.Uvarint()
	switch m.Sub {
	case authDenied:
		m.Kind = KindAuth
		m.Payload = boundedText(r, MaxTextBytes)
	case authGranted:
		m.Kind = KindAuthGranted
	default:
		decodeUnknown(r, m)
	}
}

// boundedText reads text of at most limit bytes. The bound is tested first, so
// that no time is spent on the UTF-8 of what is refused.
func boundedText(r *lib0.Reader, limit int) []byte {
	ahead := *r
	if bounded(&ahead, limit); ahead.Err() != nil {
		*r = ahead
		return nil
	}
	return r.StringBytes()
}
