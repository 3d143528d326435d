package hub

import (
	"slices"
	"strings"

	"ysync/crdt"
	"ysync/internal/lib0"
)

// units are those of one client that an update brings and the document has.
// Comparing them costs a look at each unit of a text, no more: whoever sends a
// megabyte again must not keep the document from others.
type units struct {
	to        crdt.Clock // what the document has
	from, end crdt.Clock // what is noted lies between
	texts     []textUnits
	of        map[crdt.Clock]string // what is no text, or comes out of order
	left      *int                  // how many more may be noted, for all clients
}

// textUnits are those of a text from a clock on. In units.texts they are apart and
// ascending.
type textUnits struct {
	from  crdt.Clock
	units []uint16
}

func (t *textUnits) end() crdt.Clock { return t.from + crdt.Clock(len(t.units)) }

// empty tells whether nothing is noted.
func (u *units) empty() bool { return u.end == 0 }

// extend notes that the clocks from one on up to another are among those noted.
func (u *units) extend(from, end crdt.Clock) {
	if u.empty() {
		u.from = from
	}
	u.from, u.end = min(u.from, from), max(u.end, end)
}

// add notes the content of a block, as far as the document has its clocks.
func (u *units) add(b *crdt.Struct) {
	if b.ID.Clock >= u.to || *u.left == 0 {
		return
	}
	if n := len(u.texts); b.Kind == crdt.ContentString && (n == 0 || b.ID.Clock >= u.texts[n-1].end()) {
		text := lib0.AppendUTF16(nil, b.Text())
		text = text[:min(len(text), int(u.to-b.ID.Clock), *u.left)]
		*u.left -= len(text)
		t := textUnits{b.ID.Clock, text}
		u.texts = append(u.texts, t)
		u.extend(t.from, t.end())
		return
	}
	for clock, content := range contentOf(b) {
		if clock >= u.to || *u.left == 0 {
			return
		}
		*u.left--
		if u.of == nil {
			u.of = make(map[crdt.Clock]string)
		}
		u.extend(clock, clock+1)
		u.of[clock] = content
	}
}

// differ tells whether a block of the document has other content.
func (u *units) differ(b *crdt.Struct) bool {
	if b.ID.Clock >= u.end {
		return false
	}
	if b.Kind == crdt.ContentString {
		return u.differText(textUnits{b.ID.Clock, lib0.AppendUTF16(nil, b.Text())})
	}
	for clock, content := range contentOf(b) {
		if clock >= u.end {
			return false
		}
		if other, both := u.at(clock); both && other != content && content != replaced && other != replaced {
			return true
		}
	}
	return false
}

func (u *units) differText(t textUnits) bool {
	for i := u.find(t.from); i < len(u.texts) && u.texts[i].from < t.end(); i++ {
		other := &u.texts[i]
		from, end := max(t.from, other.from), min(t.end(), other.end())
		theirs := other.units[from-other.from : end-other.from]
		for k, unit := range t.units[from-t.from : end-t.from] {
			if theirs[k] != unit && unit != replacement && theirs[k] != replacement {
				return true
			}
		}
	}
	differs := func(clock crdt.Clock, content string) bool {
		unit := t.units[clock-t.from]
		return unit != replacement && content != replaced && content != unitText(unit)
	}
	if len(u.of) < len(t.units) {
		for clock, content := range u.of {
			if clock >= t.from && clock < t.end() && differs(clock, content) {
				return true
			}
		}
		return false
	}
	for clock := t.from; clock < t.end(); clock++ {
		if content, both := u.of[clock]; both && differs(clock, content) {
			return true
		}
	}
	return false
}

// at is what is noted at a clock.
func (u *units) at(clock crdt.Clock) (content string, noted bool) {
	if i := u.find(clock); i < len(u.texts) && u.texts[i].from <= clock {
		return unitText(u.texts[i].units[clock-u.texts[i].from]), true
	}
	content, noted = u.of[clock]
	return content, noted
}

// find is the index of the first text that ends after a clock.
func (u *units) find(clock crdt.Clock) int {
	i, _ := slices.BinarySearchFunc(u.texts, clock, func(t textUnits, clock crdt.Clock) int {
		if t.end() <= clock {
			return -1
		}
		return 1
	})
	return i
}

// replacement is what half of a surrogate pair that was cut has become.
const replacement = 0xfffd

var replaced = unitText(replacement)

func unitText(u uint16) string {
	return string([]byte{byte(crdt.ContentString), byte(u >> 8), byte(u)})
}

// contentOf yields the content of each unit of a block that still has any.
func contentOf(b *crdt.Struct) func(yield func(crdt.Clock, string) bool) {
	return func(yield func(crdt.Clock, string) bool) {
		clock := b.ID.Clock
		switch b.Kind {
		case crdt.ContentGC, crdt.ContentDeleted, crdt.ContentSkip:
		case crdt.ContentString:
			for _, u := range lib0.AppendUTF16(nil, b.Text()) {
				if !yield(clock, unitText(u)) {
					return
				}
				clock++
			}
		case crdt.ContentAny, crdt.ContentJSON:
			for v := range b.Values() {
				if !yield(clock, string(canonical(v).AppendJSON([]byte{byte(b.Kind)}))) {
					return
				}
				clock++
			}
		default:
			content := append([]byte{byte(b.Kind), byte(b.Type)}, b.Name()...)
			if b.Kind != crdt.ContentDoc {
				for v := range b.Values() {
					content = canonical(v).AppendJSON(append(content, 0))
				}
			}
			yield(clock, string(content))
		}
	}
}

// canonical is a value with the keys of all objects in it in one order: two that
// differ by that alone are the same content, as a client may write what it has read
// in another order.
func canonical(v crdt.Value) crdt.Value {
	switch v.Kind() {
	case crdt.ValueList:
		elements := make([]crdt.Value, 0, v.Len())
		for e := range v.Elements() {
			elements = append(elements, canonical(e))
		}
		return crdt.List(elements...)
	case crdt.ValueObject:
		var fields []crdt.Field
		for key, e := range v.Fields() {
			fields = append(fields, crdt.Field{Key: key, Value: canonical(e)})
		}
		slices.SortFunc(fields, func(a, b crdt.Field) int { return strings.Compare(a.Key, b.Key) })
		return crdt.Object(fields...)
	default:
		return v
	}
}
