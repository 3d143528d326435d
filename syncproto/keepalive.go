package syncproto

// Keepalive is a frame that changes nothing at any client: an awareness update
// about nobody. Clients drop a connection on which no data message arrived for
// 30 s (y-websocket.js messageReconnectTimeout) and don't count pings. It is
// shared by all who send it and must not be modified.
var Keepalive = []byte{typeAwareness, 1, 0}
