package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
)

// refuses checks that an update is refused with a class, quickly, without
// memory in proportion to what it claims, and without a trace.
func refuses(t *testing.T, d *Doc, v Version, update []byte, class error) {
	t.Helper()
	refusesWithin(t, 8, d, v, update, class)
}

// refusesWithin is refuses for an update that may be integrated in part before it
// turns out to be too much: it may allocate so many times its bytes.
func refusesWithin(t *testing.T, most int, d *Doc, v Version, update []byte, class error) {
	t.Helper()
	before := d.AppendState(nil, V1)
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	start := cpuTime()
	_, err := d.Apply(nil, v, update)
	took := cpuTime() - start
	runtime.ReadMemStats(&m1)
	var ue *UpdateError
	if !errors.Is(err, class) || !errors.As(err, &ue) {
		t.Errorf("error %v, want %v", err, class)
	}
	if took > time.Second {
		t.Errorf("took %v", took)
	}
	if n := m1.TotalAlloc - m0.TotalAlloc; n > uint64(64<<10+most*len(update)) {
		t.Errorf("%d bytes allocated for %d", n, len(update))
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(before, d.AppendState(nil, V1)) {
		t.Error("the document changed")
	}
}

// Run-length coding lets a few bytes claim any number of blocks.
func TestBombs(t *testing.T) {
	bomb := func(blocks uint64) []byte {
		e := &encoderV2{}
		e.uvarint(1)
		e.uvarint(blocks)
		e.client(5)
		e.uvarint(0)
		e.info(0)
		e.lens.Write(1)
		e.uvarint(0)
		return e.finish()
	}
	for _, blocks := range []uint64{1 << 20, 1 << 40, 1<<53 - 1} {
		t.Run(fmt.Sprint(blocks), func(t *testing.T) {
			refuses(t, serverDoc(), V2, bomb(blocks), ErrLimit)
			for name, fn := range map[string]func([]byte) error{
				"merge":   func(u []byte) error { _, err := Merge(V2, u, u); return err },
				"convert": func(u []byte) error { _, err := Convert(V2, V1, u); return err },
				"diff":    func(u []byte) error { _, err := Diff(V2, u, StateVector{}); return err },
				"state":   func(u []byte) error { _, err := StateVectorOf(V2, u); return err },
			} {
				if err := fn(bomb(blocks)); err == nil {
					t.Errorf("%s accepts it", name)
				}
			}
		})
	}
}

func TestClaims(t *testing.T) {
	huge := lib0.AppendUvarint(nil, 1<<53-1)
	cases := map[string]struct {
		update []byte
		class  error
	}{
		"sections":      {append(bytes.Clone(huge), 0), ErrMalformed},
		"blocks":        {append(append([]byte{1}, huge...), 5, 0), ErrLimit},
		"clock":         {append(append([]byte{1, 1, 5}, huge...), 0, 1, 0), ErrMalformed},
		"clock beyond":  {append(append([]byte{1, 1, 5}, lib0.AppendUvarint(nil, 1<<40)...), 0, 1, 0), ErrLimit},
		"gc length":     {append(append([]byte{1, 1, 5, 0, 0}, huge...), 0), ErrLimit},
		"text length":   {append([]byte{1, 1, 5, 0, 4, 1, 1, 't'}, huge...), ErrMalformed},
		"values":        {append([]byte{1, 1, 5, 0, 8, 1, 1, 't'}, huge...), ErrMalformed},
		"list":          {append([]byte{1, 1, 5, 0, 8, 1, 1, 't', 1, 117}, huge...), ErrMalformed},
		"delete runs":   {append([]byte{0, 1, 5}, huge...), ErrMalformed},
		"deletes":       {append([]byte{0}, huge...), ErrMalformed},
		"delete length": {append([]byte{0, 1, 5, 1, 1}, huge...), ErrMalformed},
		"own future":    {[]byte{1, 1, 5, 0, 0x84, 5, 0, 1, 'a', 0}, ErrMalformed},
		"empty text":    {[]byte{1, 1, 5, 0, 4, 1, 1, 't', 0, 0}, ErrMalformed},
		"unknown kind":  {[]byte{1, 1, 5, 0, 11, 1, 1, 't', 0, 0}, ErrMalformed},
		"unknown type":  {[]byte{1, 1, 5, 0, 7, 1, 1, 't', 7, 0}, ErrMalformed},
		"not UTF-8":     {[]byte{1, 1, 5, 0, 4, 1, 1, 't', 1, 0xff, 0}, ErrMalformed},
		"not JSON":      {[]byte{1, 1, 5, 0, 5, 1, 1, 't', 1, '{', 0}, ErrMalformed},
		"nothing":       {nil, ErrMalformed},
		"same client":   {[]byte{2, 1, 5, 0, 0, 1, 1, 5, 1, 0, 1, 0}, ErrMalformed},
		"deep value":    {append(append([]byte{1, 1, 5, 0, 8, 1, 1, 't', 1}, bytes.Repeat([]byte{117, 1}, 101)...), 126, 0), ErrLimit},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { refuses(t, serverDoc(), V1, c.update, c.class) })
	}
	t.Run("deep JSON", func(t *testing.T) {
		b := textBlock(5, 0, "")
		b.kind, b.length = kindEmbed, 1
		text := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
		u := append([]byte{1, 1, 5, 0, 5, 1, 1, 't'}, lib0.AppendBytes(nil, []byte(text))...)
		refuses(t, serverDoc(), V1, append(u, 0), ErrMalformed)
	})
}

func nested(c ClientID, clock uint64, parent ID) rawBlock {
	b := rawBlock{client: c, clock: clock, length: 1, kind: kindType, typeKind: KindArray}
	if parent.Client == 0 {
		b.hasRoot, b.root = true, []byte("a")
	} else {
		b.hasParent, b.parent = true, parent
	}
	return b
}

// Depth is refused whether it comes level by level or at once, to an empty
// document or not.
func TestTypeDepth(t *testing.T) {
	const limit = 40
	d := New(Options{NoFormatCleanup: true, Limits: Limits{TypeDepth: limit}})
	var parent ID
	for i := range uint64(limit) {
		if _, err := d.Apply(nil, V1, oneBlock(nested(9, i, parent))); err != nil {
			t.Fatalf("level %d: %v", i+1, err)
		}
		parent = ID{9, Clock(i)}
	}
	before := d.AppendState(nil, V1)
	over := oneBlock(nested(9, limit, parent))
	if _, err := d.Apply(nil, V1, over); !errors.Is(err, ErrLimit) {
		t.Errorf("level %d: %v", limit+1, err)
	}
	if !bytes.Equal(before, d.AppendState(nil, V1)) {
		t.Error("the document changed")
	}
	wide := newUpdateWriter()
	for i := range uint64(100) {
		b := nested(9, limit+i, ID{9, limit - 2})
		wide.w.write(&b)
	}
	if _, err := d.Apply(nil, V1, wide.done()); err != nil {
		t.Errorf("many types side by side: %v", err)
	}

	tower := func(n uint64) []byte {
		u := newUpdateWriter()
		var parent ID
		for i := range n {
			b := nested(9, i, parent)
			u.w.write(&b)
			parent = ID{9, Clock(i)}
		}
		return u.done()
	}
	fresh := New(Options{NoFormatCleanup: true, Limits: Limits{TypeDepth: limit}})
	fresh.root("a", KindArray)
	if _, err := fresh.Apply(nil, V1, tower(limit+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("a tower: %v", err)
	}
	if got := fresh.AppendState(nil, V1); !bytes.Equal(got, []byte{0, 0}) || fresh.Check() != nil {
		t.Errorf("a tower leaves %x, %v", got, fresh.Check())
	}
	if _, err := fresh.Apply(nil, V1, tower(limit)); err != nil {
		t.Errorf("a tower of the limit: %v", err)
	}
	if err := fresh.Check(); err != nil {
		t.Error(err)
	}
}

func TestPendingBytes(t *testing.T) {
	d := New(Options{NoFormatCleanup: true, Limits: Limits{PendingBytes: 10_000}})
	CheckAtEnd(t, d)
	var refused error
	for i := uint64(1); i < 100 && refused == nil; i++ {
		b := textBlock(7, 2*i, strings.Repeat("x", 400))
		b.length = 2
		b.data = b.data[:2]
		if i%2 == 0 {
			b.data = []byte("é漢")
		}
		_, refused = d.Apply(nil, V1, oneBlock(b.after(ID{7, Clock(2*i - 1)})))
	}
	if !errors.Is(refused, ErrLimit) {
		t.Fatalf("blocks without end wait: %v", refused)
	}
	p := d.Pending()
	if p.Bytes > 10_000 || p.Blocks < 20 || p.Missing.Get(7) != 2 {
		t.Errorf("pending %+v", p)
	}
	if _, err := d.Apply(nil, V1, oneBlock(textBlock(8, 0, "fine"))); err != nil {
		t.Errorf("what needs nothing is refused: %v", err)
	}
}

// A block that is known as collected and comes again, naming a dependency that
// does not exist, must not hide what follows it once the state is stored.
func TestKnownBlockThatWaits(t *testing.T) {
	d := serverDoc()
	CheckAtEnd(t, d)
	first := rawBlock{client: 5, clock: 0, length: 4, kind: kindGC}
	for _, b := range []rawBlock{first, textBlock(5, 4, "kept")} {
		if _, err := d.Apply(nil, V1, oneBlock(b)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := d.Apply(nil, V1, oneBlock(textBlock(5, 0, "gone").before(ID{99, 7})))
	if err != nil || !c.LeftPending() {
		t.Fatal(err, c.LeftPending())
	}
	for _, v := range []Version{V1, V2} {
		again := serverDoc()
		CheckAtEnd(t, again)
		if _, err := again.Apply(nil, v, d.AppendStored(nil, v)); err != nil {
			t.Fatal(err)
		}
		if err := sameDocument(d, again); err != nil {
			t.Errorf("stored in V%d: %v", v, err)
		}
	}
}
