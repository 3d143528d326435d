package persistencetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"ysync/persistence"
)

// names are documents whose stored keys a careless backend would mix up, in
// no order.
var names = []string{
	"a", "aa", "ab", "a/b", "a/b/c", "/", "//", "a ", " a", "..", "%2e%2e", "A", "ä", "日本", "\U0010ffff",
	"a\x00", "a\x00\x00", "a\x00\x01", "a\x00\u00ff", "a\x01", "\x00", "\x00\x00", "\x01", "\x7f", "a\nb",
	strings.Repeat("x", 256), strings.Repeat("x", 255), strings.Repeat("\x00", 256), strings.Repeat("é", 128),
	"\u00ff", "\u00ff\u00ff", "entries", "record", "e", "r", "m",
}

var nameChecks = []check{
	{"NamesOfAnyBytes", func(s *store) {
		for i, name := range names {
			s.claim(name, "n1")
			s.put(name, fmt.Sprint(i), fmt.Sprint(-i))
		}
		s.restart()
		for i, name := range names {
			s.wantUpdates(name, 0, fmt.Sprint(i), fmt.Sprint(-i))
			if r := s.record(name); r.Document != name || r.Head != 2 || r.Epoch != 1 {
				s.Errorf("%q: %+v", name, r)
			}
		}
		s.wantListed("", slices.Sorted(slices.Values(names)))
		s.ok(s.log().Erase(ctx, "a\x00", noon), "erase")
		s.wantUpdates("a\x00\x00", 0, fmt.Sprint(slices.Index(names, "a\x00\x00")), fmt.Sprint(-slices.Index(names, "a\x00\x00")))
		s.wantUpdates("a", 0, "0", "0")
	}},
	{"BadNamesAreRefused", func(s *store) {
		for _, name := range []string{"", "\xff", "a\xc3", strings.Repeat("x", 257)} {
			_, err := s.log().Open(ctx, name)
			s.wantError(err, persistence.ErrInvalid, name)
			_, err = s.log().Claim(ctx, name, "n1", 0)
			s.wantError(err, persistence.ErrInvalid, name)
			_, err = s.read(name, 0)
			s.wantError(err, persistence.ErrInvalid, name)
			s.wantError(s.log().SetSnapshot(ctx, name, 1, pointer(1)), persistence.ErrInvalid, name)
			s.wantError(s.log().SetSegmented(ctx, name, 1, 1), persistence.ErrInvalid, name)
			s.wantError(s.log().SetSeed(ctx, name, 1, "k"), persistence.ErrInvalid, name)
			s.wantError(s.log().Trim(ctx, name, 1, 1), persistence.ErrInvalid, name)
			s.wantError(s.log().Erase(ctx, name, noon), persistence.ErrInvalid, name)
		}
		s.wantListed("", nil)
	}},
}

// wantListed checks the names that List yields after a name.
func (s *store) wantListed(after string, want []string) {
	s.Helper()
	var got []string
	for r, err := range s.log().List(ctx, after) {
		s.ok(err, "list")
		if own := s.record(r.Document); own != r {
			s.Errorf("listed %+v, opened %+v", r, own)
		}
		got = append(got, r.Document)
	}
	if !slices.Equal(got, want) {
		s.Errorf("listed after %q: got %q, want %q", after, got, want)
	}
}

var listChecks = []check{
	{"ListIsOrderedAndPages", func(s *store) {
		all := slices.Sorted(slices.Values(names))
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(5, 6)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i, name := range shuffled {
			switch i % 3 {
			case 0:
				s.ok(s.log().Erase(ctx, name, noon), "erase")
			case 1:
				s.claim(name, "n1")
				s.put(name, "x")
			default:
				s.claim(name, "n1")
			}
		}
		for i, name := range all {
			s.wantListed(name, all[i+1:])
		}
		s.wantListed("", all)
		s.wantListed("a\x00\x00z", all[slices.Index(all, "a\x00\x01"):])
		s.wantListed("\xff", nil)
		s.wantListed(strings.Repeat("x", 300), all[slices.Index(all, strings.Repeat("x", 256))+1:])
		var paged []string
		for after, page := "", 0; ; page++ {
			n := 0
			for r, err := range s.log().List(ctx, after) {
				s.ok(err, "list")
				paged = append(paged, r.Document)
				if n++; n == 5 {
					break
				}
			}
			if n < 5 {
				break
			}
			after = paged[len(paged)-1]
		}
		if !slices.Equal(paged, all) {
			s.Errorf("paged: got %q, want %q", paged, all)
		}
	}},
	{"ListDoesNotShowWhatWasOnlyRead", func(s *store) {
		s.record("read")
		s.wantUpdates("read", 0)
		s.claim("written", "n1")
		s.wantListed("", []string{"written"})
	}},
}
