package differential

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// differAll tells where what a document stores here, and the given roots in
// it, differ from what Yjs has. The update that the document was given may have
// been damaged.
func differAll(theirs vectors.Value, ours *replica.Replica, roots map[string]string, damaged bool) error {
	if err := ours.Check(); err != nil {
		return err
	}
	for _, f := range []struct {
		name, want string
		got        []byte
	}{
		{"state V1", theirs.Get("v1").Str, ours.State(1)},
		{"state V2", theirs.Get("v2").Str, ours.State(2)},
		{"state vector", theirs.Get("sv").Str, ours.SV()},
	} {
		if damaged && f.name != "state vector" && theirs.Get("pending").Kind == vectors.Object {
			// Yjs stores pending deletes as V2, in which ranges out of order
			// or of a client named twice turn into others.
			continue
		}
		if err := differs(f.name, f.want, f.got); err != nil {
			return err
		}
	}
	ds := map[string]vectors.Value{}
	for client, ranges := range ours.DS() {
		var list []vectors.Value
		for _, r := range ranges {
			list = append(list, vectors.MakeList(num(int(r[0])), num(int(r[1]))))
		}
		ds[client] = vectors.MakeList(list...)
	}
	if d := vectors.Diff(theirs.Get("ds"), fromMap(ds)); d != "" {
		return fmt.Errorf("delete set%s", d)
	}
	if d := vectors.Diff(theirs.Get("pending"), pendingValue(ours.Pending())); d != "" {
		return fmt.Errorf("pending%s", d)
	}
	for n, kind := range roots {
		got, err := ours.Content("deep", n, kind)
		if err != nil {
			return err
		}
		if d := vectors.Diff(theirs.Get("deep").Get(n), got); d != "" {
			return fmt.Errorf("%s%s", n, d)
		}
	}
	return nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// differs tells where two encodings part.
func differs(what, want string, got []byte) error {
	if b64(got) == want {
		return nil
	}
	w, err := base64.StdEncoding.DecodeString(want)
	if err != nil {
		return err
	}
	at := 0
	for at < len(w) && at < len(got) && w[at] == got[at] {
		at++
	}
	if nan := nanAt(w, at); nan >= 0 && nan == nanAt(got, at) && len(w) == len(got) {
		// JavaScript has one NaN, but V8 keeps the bits of those it reads.
		return differs(what, b64(append(append(w[:nan:nan], got[nan:nan+8]...), w[nan+8:]...)), got)
	}
	around := func(b []byte) []byte { return b[min(len(b), max(0, at-24)):min(len(b), at+24)] }
	return fmt.Errorf("%s: Yjs has %d bytes, we %d, different from %d on\nYjs …%x…\nwe  …%x…", what, len(w), len(got), at, around(w), around(got))
}

// nanAt returns where the eight bytes of a NaN start that byte at belongs to;
// -1 if to none.
func nanAt(b []byte, at int) int {
	for i := at; i > at-8 && i > 0; i-- {
		if b[i-1] == byte(lib0.TagFloat64) && i+8 <= len(b) && math.IsNaN(math.Float64frombits(binary.BigEndian.Uint64(b[i:]))) {
			return i
		}
	}
	return -1
}

func fromMap(m map[string]vectors.Value) vectors.Value {
	v := vectors.MakeObject()
	for k, e := range m {
		v.Fields = append(v.Fields, vectors.Field{Key: k, Value: e})
	}
	return v
}

func pendingValue(p *vectors.Pending) vectors.Value {
	if p == nil {
		return vectors.MakeNull()
	}
	v := vectors.MakeObject()
	if p.Missing != nil {
		missing := map[string]vectors.Value{}
		for c, clock := range p.Missing {
			missing[c] = num(int(clock))
		}
		v.Fields = append(v.Fields, vectors.Field{Key: "missing", Value: fromMap(missing)})
	}
	if p.DS {
		v.Fields = append(v.Fields, vectors.Field{Key: "ds", Value: vectors.Value{Kind: vectors.Bool, Bool: true}})
	}
	return v
}
