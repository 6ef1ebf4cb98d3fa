package authpipetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"
)

// answer is a response before it is written.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that went away has no use for an error
}

// graphAnswer is what the Graph API says: the body, or the error if there is one.
func (f *Facebook) graphAnswer(c *call, body any, err error) answer {
	a := answer{status: http.StatusOK, header: f.graphHeader(c)}
	maps.Copy(a.header, c.header)
	var refused refusal
	if errors.As(err, &refused) {
		a.status = refused.status
		if refused.challenge != "" {
			a.header.Set("WWW-Authenticate", `OAuth "Facebook Platform" "`+refused.challenge+`" "`+refused.Message+`"`)
		}
		refused.TraceID = a.header.Get("X-Fb-Trace-Id")
		body = map[string]GraphError{"error": refused.GraphError}
	}
	a.body = encode(body)
	return a
}

// graphHeader is what every answer of the Graph API carries. Facebook's Date is the simulator's.
func (f *Facebook) graphHeader(c *call) http.Header {
	h := f.noStore()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Type", "application/json; charset=UTF-8")
	if !f.options().NoVersionHeader {
		h.Set("Facebook-Api-Version", f.versionFor(c))
	}
	h.Set("X-Fb-Request-Id", "A"+random(alphanumerics, 22))
	h.Set("X-Fb-Rev", "1030000000")
	h.Set("X-Fb-Trace-Id", "A"+random(alphanumerics, 22))
	return h
}

func (f *Facebook) noStore() http.Header {
	h := http.Header{}
	h.Set("Cache-Control", "private, no-cache, no-store, must-revalidate")
	h.Set("Date", f.options().Now().UTC().Format(http.TimeFormat))
	h.Set("Expires", "Sat, 01 Jan 2000 00:00:00 GMT")
	h.Set("Pragma", "no-cache")
	return h
}

// jsonAnswer is JSON that does not come from the Graph API.
func (f *Facebook) jsonAnswer(body any) answer {
	a := answer{status: http.StatusOK, header: f.noStore(), body: encode(body)}
	a.header.Set("Content-Type", "application/json; charset=utf-8")
	return a
}

// encode writes JSON on one line, URLs legible.
func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic("encoding an answer: " + err.Error()) // a bug: bodies are the simulator's own types
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// unix is a time as the Graph API has it; the zero time is 0, which means never.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// member and object make JSON objects whose members keep the order in which they were asked for.
type member struct {
	name  string
	value any
}

type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(m.name))
		b.WriteByte(':')
		b.Write(encode(m.value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}
