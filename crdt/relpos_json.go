package crdt

import (
	"math"
	"strconv"
)

// AppendJSON appends the position as Yjs writes it (Yjs: relativePositionToJSON): an object with type
// or tname, item if there is one, and assoc. As in Yjs a root with an empty name is left out, so that
// its end cannot be told in JSON.
func (p RelativePosition) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if p.has&partType != 0 {
		dst = append(appendIDJSON(append(dst, `"type":`...), p.owner), ',')
	}
	if p.root != "" {
		dst = append(appendJSONString(append(dst, `"tname":`...), p.root), ',')
	}
	if p.has&partItem != 0 {
		dst = append(appendIDJSON(append(dst, `"item":`...), p.item), ',')
	}
	return append(strconv.AppendInt(append(dst, `"assoc":`...), int64(p.Assoc), 10), '}')
}

func appendIDJSON(dst []byte, id ID) []byte {
	dst = strconv.AppendUint(append(dst, `{"client":`...), uint64(id.Client), 10)
	dst = strconv.AppendUint(append(dst, `,"clock":`...), uint64(id.Clock), 10)
	return append(dst, '}')
}

// MarshalJSON is AppendJSON.
func (p RelativePosition) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// UnmarshalJSON reads what AppendJSON or Yjs wrote (Yjs: createRelativePositionFromJSON). Parts may be
// null or missing; a client or clock that is missing is 0, which is what Yjs makes of it when it sends
// the position. Errors wrap ErrMalformed.
func (p *RelativePosition) UnmarshalJSON(b []byte) error {
	v, ok := parseJSON(b)
	if !ok {
		return positionError(-1, malformed("JSON"))
	}
	*p = RelativePosition{}
	if v.IsNull() {
		return nil // by convention of encoding/json
	}
	if v.Kind() != ValueObject {
		return positionError(-1, malformed("no object"))
	}
	q := RelativePosition{}
	var owner, item bool
	q.owner, owner = q.readID(partType, v.Field("type"))
	q.item, item = q.readID(partItem, v.Field("item"))
	if !owner || !item {
		return positionError(-1, malformed("ID"))
	}
	switch name := v.Field("tname"); name.Kind() {
	case ValueString:
		q.has, q.root = q.has|partRoot, name.Str()
	case ValueNull, ValueUndefined:
	default:
		return positionError(-1, malformed("name of a root"))
	}
	if assoc := v.Field("assoc"); !assoc.IsNull() {
		n, ok := optionalInteger(assoc)
		if !ok {
			return positionError(-1, malformed("association"))
		}
		q.Assoc = int(n)
	}
	*p = q
	return nil
}

// readID reads the ID of a part of the position, if it is there.
func (p *RelativePosition) readID(part positionPart, v Value) (id ID, ok bool) {
	if v.IsNull() || v.IsUndefined() {
		return ID{}, true
	}
	p.has |= part
	client, ok1 := optionalInteger(v.Field("client"))
	clock, ok2 := optionalInteger(v.Field("clock"))
	return ID{ClientID(client), Clock(clock)}, ok1 && ok2 && client >= 0 && clock >= 0
}

func optionalInteger(v Value) (int64, bool) {
	if v.IsUndefined() {
		return 0, true
	}
	return safeInteger(v)
}

// safeInteger is the integer of at most 53 bits that a value holds.
func safeInteger(v Value) (int64, bool) {
	f := v.Number()
	if v.Kind() != ValueNumber || f != math.Trunc(f) || math.Abs(f) > float64(MaxClientID) {
		return 0, false
	}
	return int64(f), true
}
