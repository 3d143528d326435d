package api

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"ysync/snapshots"
)

// Progress is how far long work is.
type Progress struct {
	// What is being done, for people.
	What string `json:"what"`
	Done int64  `json:"done"`
	// Total is 0 while it is not known.
	Total int64 `json:"total,omitempty"`
}

// lines writes an answer line by line. Its first write settles that the answer
// is a success; an error after it becomes the last line.
type lines struct {
	w       http.ResponseWriter
	encoder *json.Encoder
	flushed time.Time
	now     func() time.Time
}

// flushEvery is how long a line may wait for others, so that many short ones
// share a write.
const flushEvery = 100 * time.Millisecond

func (a *API) lines(w http.ResponseWriter) *lines {
	return &lines{w: w, now: a.opt.Now}
}

// put writes one line: an object with one member.
func (l *lines) put(member string, value any) error {
	if l.encoder == nil {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.encoder = json.NewEncoder(l.w)
	}
	if err := l.encoder.Encode(map[string]any{member: value}); err != nil {
		return err
	}
	if now := l.now(); now.Sub(l.flushed) >= flushEvery {
		l.flushed = now
		return http.NewResponseController(l.w).Flush()
	}
	return nil
}

// finish writes the last line. With nothing written before, an error is left
// to the caller.
func (l *lines) finish(end any, err error) error {
	switch {
	case err == nil:
		_ = l.put("end", end) // the reader went, or has it
		return nil
	case l.encoder == nil:
		return err
	}
	_ = l.put("error", problemOf(err))
	return nil
}

// count is what the end of a list tells.
type count struct {
	Count int `json:"count"`
	// Next is where to go on with ?after when the limit was reached.
	Next string `json:"next,omitempty"`
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the reader went, or has it
	return nil
}

// order reads a body of JSON; an empty one leaves v as it is.
func order(w http.ResponseWriter, c *call, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, c.Body, maxOrder))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == io.EOF {
		return nil
	}
	if err != nil {
		if _, tooLarge := err.(*http.MaxBytesError); tooLarge {
			return err
		}
		return invalid("the body is not the JSON wanted here: %v", err)
	}
	if d.More() {
		return invalid("the body holds more than one JSON value")
	}
	return nil
}

// moment reads a query parameter that names a moment.
func (a *API) moment(c *call, name string) (snapshots.Moment, error) {
	return a.parseMoment(c.URL.Query().Get(name))
}

func (a *API) parseMoment(text string) (snapshots.Moment, error) {
	m, err := snapshots.ParseMoment(text, a.opt.Now())
	if err != nil {
		return m, invalid("%v", err)
	}
	return m, nil
}

// number reads a query parameter that is a number, 0 when it is not there.
func number(c *call, name string) (uint64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, invalid("%s: want a number", name)
	}
	return n, nil
}

// flag reads a query parameter that is true or false.
func flag(c *call, name string) (bool, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, invalid("%s: want true or false", name)
	}
	return v, nil
}

// instant reads a query parameter that is a time in RFC 3339, zero when it is
// not there.
func instant(c *call, name string) (time.Time, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, invalid("%s: want a time such as 2006-01-02T15:04:05Z", name)
	}
	return t, nil
}
