package crdt

import (
	"math"
	"strconv"

	"ysync/internal/lib0"
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
	// The shortest number of JSON that takes nine bytes has three and a comma.
	v, ok := appendJSONValue(make([]byte, 0, 9*len(b)/4+9), b)
	if !ok {
		return positionError(-1, malformed("JSON"))
	}
	*p = RelativePosition{}
	if lib0.Tag(v[0]) == lib0.TagNull {
		return nil // by convention of encoding/json
	}
	if lib0.Tag(v[0]) != lib0.TagObject {
		return positionError(-1, malformed("no object"))
	}
	q := RelativePosition{}
	var owner, item bool
	q.owner, owner = q.readID(partType, anyField(v, "type"))
	q.item, item = q.readID(partItem, anyField(v, "item"))
	if !owner || !item {
		return positionError(-1, malformed("ID"))
	}
	switch name := scalarField(v, "tname"); name.Kind() {
	case ValueString:
		q.has, q.root = q.has|partRoot, name.Str()
	case ValueNull, ValueUndefined:
	default:
		return positionError(-1, malformed("name of a root"))
	}
	if assoc := scalarField(v, "assoc"); !assoc.IsNull() {
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
func (p *RelativePosition) readID(part positionPart, v []byte) (id ID, ok bool) {
	if t := lib0.Tag(v[0]); t == lib0.TagNull || t == lib0.TagUndefined {
		return ID{}, true
	}
	p.has |= part
	client, ok1 := optionalInteger(scalarField(v, "client"))
	clock, ok2 := optionalInteger(scalarField(v, "clock"))
	return ID{ClientID(client), Clock(clock)}, ok1 && ok2 && client >= 0 && clock >= 0
}

// anyField is the value of a key, undefined if it is not there, of a valid value in the Any encoding.
func anyField(value []byte, key string) []byte {
	r := lib0.NewWTF8Reader(value)
	if r.Tag() == lib0.TagObject {
		for range r.Count(lib0.MinObjectEntry) {
			k := r.Bytes()
			if v := r.Raw(maxValueDepth); string(k) == key {
				return v
			}
		}
	}
	return []byte{byte(lib0.TagUndefined)}
}

// scalarField is the value of a key; one that is a list or an object counts as true, which is as
// wrong as they are.
func scalarField(value []byte, key string) Value {
	r := lib0.NewWTF8Reader(anyField(value, key))
	switch t := r.Tag(); t {
	case lib0.TagArray, lib0.TagObject:
		return Bool(true)
	default:
		return readScalar(&r, t)
	}
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
