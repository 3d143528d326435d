package snapshots

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ysync/persistence"
)

// Moment names a moment of a document's past. The zero value is now. Moments
// are comparable.
type Moment struct {
	kind       momentKind
	at         time.Time
	position   persistence.Position
	label      string
	generation persistence.Generation
}

type momentKind uint8

const (
	momentNow momentKind = iota
	momentTime
	momentPosition
	momentLabel
)

// Now is the newest state that the log holds.
func Now() Moment { return Moment{} }

// AtTime is the state with every entry received up to and including t, which
// counts in whole milliseconds as the log does.
func AtTime(t time.Time) Moment { return Moment{kind: momentTime, at: milli(t)} }

// AtPosition is the state with the log up to and including position p. 0 is
// the empty document.
func AtPosition(p persistence.Position) Moment { return Moment{kind: momentPosition, position: p} }

// AtLabel is the newest snapshot that was asked for with this label.
func AtLabel(label string) Moment { return Moment{kind: momentLabel, label: label} }

// In is the moment in a generation of the document, which may be a retired
// one. 0 stands for the newest.
func (m Moment) In(g persistence.Generation) Moment {
	m.generation = g
	return m
}

// String is the moment in a form that ParseMoment reads. A generation shows in
// positions only.
func (m Moment) String() string {
	switch m.kind {
	case momentTime:
		return m.at.Format("2006-01-02T15:04:05.999Z07:00")
	case momentPosition:
		s := "#" + strconv.FormatUint(uint64(m.position), 10)
		if m.generation != 0 {
			s += "@" + strconv.FormatUint(uint64(m.generation), 10)
		}
		return s
	case momentLabel:
		return "label:" + m.label
	}
	return "now"
}

// ParseMoment reads a moment as people write it, at time now:
//
//	now
//	2026-11-17T14:05:00Z, 2026-11-17T14:05:00+01:00   RFC 3339
//	2026-11-17 14:05, 2026-11-17 14:05:30, 2026-11-17  in the zone of now
//	2h ago, 90m ago, 3d ago, 1w 2d ago, 1h30m ago
//	#1234, #1234@1                                    a position, one of generation 1
//	label:before the import
func ParseMoment(s string, now time.Time) (Moment, error) {
	s = strings.TrimSpace(s)
	if s == "now" || s == "" {
		return Now(), nil
	}
	if label, ok := strings.CutPrefix(s, "label:"); ok && label != "" {
		return AtLabel(label), nil
	}
	if digits, ok := strings.CutPrefix(s, "#"); ok {
		digits, in, named := strings.Cut(digits, "@")
		p, err := strconv.ParseUint(digits, 10, 64)
		var g uint64
		if err == nil && named {
			g, err = strconv.ParseUint(in, 10, 64)
		}
		if err != nil || named && g == 0 {
			return Moment{}, fmt.Errorf("%w: %q is no position", ErrMoment, s)
		}
		return AtPosition(persistence.Position(p)).In(persistence.Generation(g)), nil
	}
	if amount, ok := strings.CutSuffix(s, "ago"); ok {
		d, err := parseAgo(amount)
		if err != nil {
			return Moment{}, fmt.Errorf("%w: %q", ErrMoment, s)
		}
		return AtTime(now.Add(-d)), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return AtTime(t), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return AtTime(t), nil
		}
	}
	return Moment{}, fmt.Errorf("%w: %q; say now, 2006-01-02T15:04:05Z, 2h ago, #1234 or label:name", ErrMoment, s)
}

// parseAgo reads a row of numbers with units, from weeks to seconds.
func parseAgo(s string) (time.Duration, error) {
	units := map[string]time.Duration{
		"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second,
		"week": 7 * 24 * time.Hour, "day": 24 * time.Hour, "hour": time.Hour, "min": time.Minute, "minute": time.Minute,
		"sec": time.Second, "second": time.Second,
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, ErrMoment
	}
	var sum time.Duration
	for s != "" {
		n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if n <= 0 {
			return 0, ErrMoment
		}
		count, err := strconv.ParseUint(s[:n], 10, 32)
		if err != nil {
			return 0, err
		}
		s = strings.TrimSpace(s[n:])
		n = strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
		if n < 0 {
			n = len(s)
		}
		unit, ok := units[s[:n]]
		if !ok {
			unit, ok = units[strings.TrimSuffix(s[:n], "s")]
		}
		if !ok || n == 0 {
			return 0, ErrMoment
		}
		if count > uint64(1<<62)/uint64(unit) {
			return 0, ErrMoment
		}
		sum += time.Duration(count) * unit
		if sum < 0 {
			return 0, ErrMoment
		}
		s = strings.TrimSpace(s[n:])
	}
	return sum, nil
}
