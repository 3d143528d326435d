package awareness

import "ysync/internal/lib0"

// Modify returns update with every state replaced by what change returns for
// it, such as one with the name that the sender is known by. States are JSON
// text, null among them; what change returns must be JSON. The clocks stay
// (y-protocols awareness.js modifyAwarenessUpdate).
func Modify(update []byte, change func(clientID uint64, state []byte) ([]byte, error)) ([]byte, error) {
	count := 0
	var entries []byte
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		if err := e.CheckState(); err != nil {
			return nil, err
		}
		state, err := change(e.ClientID, e.State)
		if err != nil {
			return nil, err
		}
		count++
		entries = appendEntry(entries, e.ClientID, e.Clock, state)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return append(lib0.AppendUvarint(nil, uint64(count)), entries...), nil
}
