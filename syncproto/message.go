package syncproto

import "strconv"

// Kind tells the messages of the dialect apart.
type Kind uint8

// The kinds. KindUnknown is the zero value: the length of a message of unknown
// type is unknown too, so it takes the rest of its frame.
const (
	KindUnknown Kind = iota
	KindSyncStep1
	KindSyncStep2
	KindUpdate
	KindAwareness
	KindAuth
	KindAuthGranted
	KindQueryAwareness
	KindAck
)

var kindNames = [...]string{
	KindUnknown:        "Unknown",
	KindSyncStep1:      "SyncStep1",
	KindSyncStep2:      "SyncStep2",
	KindUpdate:         "Update",
	KindAwareness:      "Awareness",
	KindAuth:           "Auth",
	KindAuthGranted:    "AuthGranted",
	KindQueryAwareness: "QueryAwareness",
	KindAck:            "Ack",
}

// String returns the name of the kind, for logs and metric labels.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// The outer types (y-websocket.js, messageSync and its siblings; 102 is
// y-sweet's MESSAGE_SYNC_STATUS).
const (
	typeSync           = 0
	typeAwareness      = 1
	typeAuth           = 2
	typeQueryAwareness = 3
	typeAck            = 102
)

// The inner types of a sync message (y-protocols sync.js).
const (
	syncStep1  = 0
	syncStep2  = 1
	syncUpdate = 2
)

// The inner types of an auth message (y-protocols auth.js; yrs for the second).
const (
	authDenied  = 0
	authGranted = 1
	authWanted  = 2
)

// Message is one message of a frame.
type Message struct {
	// Kind says what Payload is.
	Kind Kind
	// Payload aliases the frame: a state vector, an update, an awareness
	// update, the payload of an acknowledgement, or the text of an auth
	// message. A server sends a reason in that text, and nothing in the
	// dialect keeps a client from sending a fresh token in it. It is what
	// follows the type if Kind is KindUnknown, and nil where a message carries
	// nothing.
	Payload []byte
	// Type is the outer type as read.
	Type uint64
	// Sub is the inner type of a sync or auth message, 0 for others.
	Sub uint64
}
