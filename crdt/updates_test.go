package crdt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
)

// Compact has the effect of its updates and is much smaller than Merge.
func TestCompact(t *testing.T) {
	updates := readUpdates(t, "friendsforever.updates.v1.bin.gz")
	merged, err := Merge(V1, updates...)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := Compact(V1, updates...)
	if err != nil {
		t.Fatal(err)
	}
	if len(compact)*5 > len(merged) {
		t.Errorf("compact %d bytes, merged %d", len(compact), len(merged))
	}
	a, b := serverDoc(), serverDoc()
	for d, u := range map[*Doc][]byte{a: merged, b: compact} {
		if _, err := d.Apply(nil, V1, u); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.AppendState(nil, V1), b.AppendState(nil, V1)) {
		t.Error("compacting changes the document")
	}
}

// Compacting parts, in any grouping, has the effect of the updates.
func TestCompactParts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	goldenLines(t, "fuzz", func(line []byte) {
		var c goldenDoc
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		for _, v := range []Version{V1, V2} {
			d, plain := New(Options{NoFormatCleanup: true, KeepDeleted: true}), New(Options{NoFormatCleanup: true, KeepDeleted: true})
			CheckAtEnd(t, d)
			CheckAtEnd(t, plain)
			for i := 0; i < len(c.Updates); {
				n := min(1+r.IntN(12), len(c.Updates)-i)
				var parts [][]byte
				for _, u := range c.Updates[i : i+n] {
					parts = append(parts, u.bytes(v))
				}
				i += n
				u, err := Compact(v, parts...)
				if err != nil {
					t.Fatal(err)
				}
				m, err := Merge(v, parts...)
				if err != nil {
					t.Fatal(err)
				}
				if len(u) > len(m)+8 {
					t.Errorf("%s: compact %d bytes, merged %d", c.Name, len(u), len(m))
				}
				if _, err := d.Apply(nil, v, u); err != nil {
					t.Fatal(err)
				}
				if _, err := plain.Apply(nil, v, m); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := d.AppendState(nil, V1), plain.AppendState(nil, V1); !bytes.Equal(got, want) {
				t.Errorf("%s, V%d: compacting changes the document", c.Name, v)
			}
		}
	})
}

// What a commit says of itself makes another replica follow.
func TestCommitUpdates(t *testing.T) {
	goldenLines(t, "fuzz", func(line []byte) {
		var c goldenDoc
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		d := New(Options{NoFormatCleanup: true})
		follower := map[Version]*Doc{V1: New(Options{NoFormatCleanup: true}), V2: New(Options{NoFormatCleanup: true})}
		for _, d := range []*Doc{d, follower[V1], follower[V2]} {
			CheckAtEnd(t, d)
		}
		r := rand.New(rand.NewPCG(5, 5))
		order := r.Perm(len(c.Updates))
		if len(order) > 400 {
			order = order[:400]
		}
		for _, i := range order {
			commit, err := d.Apply("someone", V1, c.Updates[i].V1)
			if err != nil {
				t.Fatal(err)
			}
			if commit.Origin() != "someone" || commit.Next() != nil {
				t.Fatal("commit of another transaction")
			}
			for v, f := range follower {
				out := commit.AppendUpdate(nil, v)
				if v == V1 && commit.Relayable() {
					out = c.Updates[i].V1
				}
				fc, err := f.Apply(nil, v, out)
				if err != nil {
					t.Fatal(err)
				}
				if fc.LeftPending() {
					t.Fatalf("%s: a commit cannot be integrated by who follows", c.Name)
				}
				if fc.Empty() != commit.Empty() {
					t.Fatalf("%s: empty %v, then %v", c.Name, commit.Empty(), fc.Empty())
				}
			}
			before, after := commit.Before(), commit.After()
			for client, rg := range commit.Added() {
				if before.Get(client) != rg.From || after.Get(client) != rg.To || d.StateVector().Get(client) != rg.To {
					t.Fatalf("%s: added %d %v, before %v, after %v", c.Name, client, rg, before, after)
				}
			}
			deletes := commit.Deletes()
			all := d.Deletes()
			deletes.Subtract(&all)
			if !deletes.Empty() {
				t.Fatalf("%s: deletes that the document does not have: %v", c.Name, deletes)
			}
		}
		for v, f := range follower {
			if err := sameDocument(d, f); err != nil {
				t.Errorf("%s, V%d: %v", c.Name, v, err)
			}
		}
	})
}

func TestAppendUpdateCatchesUp(t *testing.T) {
	updates := readUpdates(t, "friendsforever.updates.v1.bin.gz")
	d, late := serverDoc(), serverDoc()
	CheckAtEnd(t, d)
	CheckAtEnd(t, late)
	for _, u := range updates[:1000] {
		for _, doc := range []*Doc{d, late} {
			if _, err := doc.Apply(nil, V1, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	sv := d.StateVector()
	var deletes IDSet
	for _, u := range updates[1000:3000] {
		c, err := d.Apply(nil, V1, u)
		if err != nil {
			t.Fatal(err)
		}
		ds := c.Deletes()
		deletes.Union(&ds)
	}
	c, err := late.Apply(nil, V1, d.AppendUpdate(nil, V1, sv, deletes))
	if err != nil || c.LeftPending() {
		t.Fatal(err, c.LeftPending())
	}
	if err := sameDocument(d, late); err != nil {
		t.Error(err)
	}
}

// Of no updates comes an empty one, and an error says where in its update reading stopped.
func TestMergeOfNoneAndOfABadOne(t *testing.T) {
	none := New(Options{})
	CheckAtEnd(t, none)
	for v, empty := range map[Version][]byte{V1: {0, 0}, V2: none.AppendState(nil, V2)} {
		if got, err := Merge(v); err != nil || !bytes.Equal(got, empty) {
			t.Errorf("V%d: %x, %v, want %x", v, got, err, empty)
		}
	}
	good := oneBlock(textBlock(5, 0, "text"))
	bad := good[:len(good)-3]
	var at *UpdateError
	if _, err := Merge(V1, good, good, bad); !errors.As(err, &at) || at.Offset <= 0 || at.Offset > len(bad) {
		t.Errorf("error %v", err)
	}
}

// Half a character in a value stays in the document, and is U+FFFD in all bytes, but for formats and
// embeds in V1, which are JSON text there. The bytes are those of Yjs 13.6.33.
func TestHalfCharactersInValues(t *testing.T) {
	d := New(Options{ClientID: 1})
	half := "\xed\xa0\x80"
	v := Object(Field{"x" + half, String(half + "y")})
	c, err := d.Transact(nil, func(tx *Txn) {
		d.Map("m").Set(tx, "k", v)
		d.Array("a").Insert(tx, 0, v, String(half))
		d.Text("t").InsertEmbed(tx, 0, v, nil)
		d.Text("t").Insert(tx, 1, half)
	})
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[Version]string{
		V1: "010401002801016d016b0176010478efbfbd7704efbfbd79080101610276010478efbfbd7704efbfbd797703efbfbd05010174157b22785c7564383030223a225c756438303079227d84010303efbfbd00",
		V2: "000002410001060007280008000500840a076d6b6174efbfbd410301010002010201040076010478efbfbd7704efbfbd7976010478efbfbd7704efbfbd797703efbfbd76010478efbfbd7704efbfbd7900",
	} {
		if got := hex.EncodeToString(c.AppendUpdate(nil, version)); got != want {
			t.Errorf("update V%d %s, want %s", version, got, want)
		}
		if got := hex.EncodeToString(d.AppendState(nil, version)); got != want {
			t.Errorf("state V%d %s, want %s", version, got, want)
		}
	}
	if got := d.Map("m").At("k"); !got.Equal(v) {
		t.Errorf("the document holds %s", got.AppendJSON(nil))
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}
