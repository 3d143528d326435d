package differential

import (
	"encoding/json"
	"fmt"
	"iter"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// rawJSON is sent as it is.
type rawJSON = json.RawMessage

// list is l as JSON, also when empty.
func list(l []rawJSON) []rawJSON {
	if l == nil {
		return []rawJSON{}
	}
	return l
}

func boolean(b bool) vectors.Value { return vectors.Value{Kind: vectors.Bool, Bool: b} }

// read compares what a type answers to all questions.
func (a *api) read(m *member) error {
	at := a.somewhere(m)
	n := max(at.t.Array().Len(), at.t.XMLFragment().Len())
	from := a.IntN(n + 1)
	to := from + a.IntN(n-from+1)
	key := []string{"p", "h1", "LI", "li", "a", "key", "0", "7", ""}[a.IntN(9)]
	path := rawJSON(vectors.MakeList(at.path...).JSON())
	theirs, err := a.peer.call("read", arg{"doc", m.name()}, arg{"path", path}, arg{"from", from}, arg{"to", to}, arg{"key", key})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", m.name(), path, err)
	}
	ours := answers(at.t, from, to, key)
	for _, f := range theirs.Fields {
		if f.Key == "id" || f.Key == "ok" {
			continue
		}
		if d := vectors.Diff(f.Value, ours[f.Key]); d != "" {
			return fmt.Errorf("%s: %s: %s of %d, %d, %q%s", m.name(), path, f.Key, from, to, key, d)
		}
	}
	return nil
}

// orNull is a value, or null for none.
func orNull(v crdt.Value) vectors.Value {
	if v.IsUndefined() {
		return vectors.MakeNull()
	}
	return replica.FromValue(v)
}

func values(all []crdt.Value) vectors.Value {
	out := vectors.MakeList()
	for _, v := range all {
		out.List = append(out.List, replica.FromValue(v))
	}
	return out
}

func collect[T any](all iter.Seq[T], of func(T) vectors.Value) vectors.Value {
	out := vectors.MakeList()
	for e := range all {
		out.List = append(out.List, of(e))
	}
	return out
}

func kindOf(v crdt.Value) vectors.Value { return replica.FromValue(v).Get("$y") }

// answers are those of a type, by the names that the peer gives them.
func answers(t crdt.Value, from, to int, key string) map[string]vectors.Value {
	out := map[string]vectors.Value{"json": replica.FromValue(t.JSON()), "parent": vectors.MakeNull()}
	parent := func(p crdt.Value) {
		if !p.IsUndefined() {
			out["parent"] = kindOf(p)
		}
	}
	kind, _ := t.TypeKind()
	if text := t.Text(); text.Valid() {
		parent(text.Parent())
		out["length"] = num(text.Len())
		out["attr"] = replica.FromValue(text.Attr(key))
	}
	if m := t.Map(); m.Valid() {
		parent(m.Parent())
		out["size"], out["has"] = num(m.Len()), boolean(m.Has(key))
		out["keys"] = collect(m.Keys(), vectors.MakeString)
		out["value"] = replica.FromValue(m.At(key))
	}
	if l := t.Array(); l.Valid() {
		parent(l.Parent())
		out["length"], out["slice"], out["item"] = num(l.Len()), values(l.Slice(from, to)), replica.FromValue(l.At(from))
	}
	if f := t.XMLFragment(); f.Valid() {
		parent(f.Parent())
		out["length"], out["slice"], out["item"] = num(f.Len()), values(f.Slice(from, to)), replica.FromValue(f.At(from))
		out["first"], out["query"] = orNull(f.FirstChild()), vectors.MakeNull()
		if e := f.Query(key); e.Valid() {
			out["query"] = replica.FromValue(e.Value())
		}
		out["queries"] = collect(f.QueryAll(key), func(e crdt.XMLElement) vectors.Value { return replica.FromValue(e.Value()) })
		out["all"] = collect(f.Descendants(), kindOf)
	}
	switch kind {
	case crdt.KindXMLElement:
		e := t.XMLElement()
		out["string"], out["next"], out["prev"] = vectors.MakeString(e.String()), orNull(e.NextSibling()), orNull(e.PrevSibling())
		out["attr"], out["hasAttr"] = replica.FromValue(e.Attr(key)), boolean(e.HasAttr(key))
	case crdt.KindXMLText:
		e := t.XMLText()
		out["string"], out["next"], out["prev"] = vectors.MakeString(e.String()), orNull(e.NextSibling()), orNull(e.PrevSibling())
	}
	return out
}
