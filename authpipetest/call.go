package authpipetest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// bodyLimit is far above any call that the simulator understands.
const bodyLimit = 1 << 20

// call is a request in the form in which endpoints read it.
type call struct {
	request    *http.Request
	route      route
	version    string // from the path; empty: the path has none
	path       string // below the version, without a leading slash
	node       string // the {node} of the route
	permission string // the {permission} of the route
	query      url.Values
	form       url.Values  // parameters of the body, in whatever encoding
	entry      *Request    // in the request log
	consent    *Consent    // from Authorize
	app        *App        // the app that calls, once it is known
	header     http.Header // further headers of the answer
	batched    bool        // an entry of a batch
	overrides  bool        // the parameter "method" overrides the HTTP method
}

// readCall reads a request. A body that cannot be parsed counts as empty.
func readCall(r *http.Request, overrides bool) *call {
	c := &call{request: r, query: r.URL.Query(), form: bodyParameters(r), overrides: overrides}
	c.consent, _ = r.Context().Value(consentKey{}).(*Consent)
	c.batched, _ = r.Context().Value(batchKey{}).(bool)
	c.path = strings.Trim(r.URL.Path, "/")
	if first, rest, _ := strings.Cut(c.path, "/"); versionSegment.MatchString(first) {
		c.version, c.path = first, rest
	}
	return c
}

// param returns a parameter of the body or, if the body lacks it, of the query.
func (c *call) param(name string) string {
	if c.form.Has(name) {
		return c.form.Get(name)
	}
	return c.query.Get(name)
}

// list splits at commas and spaces: Facebook accepts both in a scope.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// listOrArray reads a list that is separated by commas, as documented, or a JSON array, which clients send too.
func listOrArray(s string) []string {
	var array []string
	if strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &array) == nil {
		return array
	}
	return list(s)
}

// beyond returns the elements of asked that are not in allowed.
func beyond(asked, allowed []string) []string {
	return slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return slices.Contains(allowed, s) })
}

// base returns the URL by which the client reaches the simulator, which may be behind a proxy that terminates TLS.
func (c *call) base() string {
	scheme := "http"
	forwarded, _, _ := strings.Cut(c.request.Header.Get("X-Forwarded-Proto"), ",")
	if c.request.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https") {
		scheme = "https"
	}
	return scheme + "://" + c.request.Host
}

// bodyParameters reads a body as a form, as multipart (curl -F, as in Meta's samples) or as a JSON object. A body
// without a Content-Type, as fbgraph sends it, is JSON if it begins like an object, and otherwise a form.
func bodyParameters(r *http.Request) url.Values {
	if r.Body == nil {
		return url.Values{}
	}
	r.Body = http.MaxBytesReader(nil, r.Body, bodyLimit)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "multipart/form-data" {
		if err := r.ParseMultipartForm(bodyLimit); err != nil {
			return url.Values{}
		}
		return url.Values(maps.Clone(r.MultipartForm.Value))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return url.Values{}
	}
	if kind == "" && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		kind = "application/json"
	}
	switch kind {
	case "application/json":
		return jsonParameters(body)
	case "application/x-www-form-urlencoded", "":
		form, _ := url.ParseQuery(string(body)) // the part that could be parsed
		return form
	}
	return url.Values{}
}

// jsonParameters reads the members of a JSON object: strings, numbers and booleans as text, arrays and objects as JSON.
func jsonParameters(body []byte) url.Values {
	form := url.Values{}
	object := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber() // an app id sent as a number may exceed 2^53
	if decoder.Decode(&object) != nil {
		return form
	}
	for name, value := range object {
		switch v := value.(type) {
		case string:
			form.Set(name, v)
		case json.Number:
			form.Set(name, v.String())
		case bool:
			form.Set(name, strconv.FormatBool(v))
		case []any, map[string]any: // such as a batch that is not wrapped in a string
			form.Set(name, string(encode(v)))
		}
	}
	return form
}

// discontinued names the feature in the call that new apps have not been able to use since 2026-11-04, on any version
// of the API ("Introducing Graph API v27.0 and Marketing API v27.0"). It returns "" if there is none.
func (c *call) discontinued() string {
	switch {
	case c.form.Has("method") || c.query.Has("method"):
		return "HTTP method override"
	case c.query.Has("ids") || c.form.Has("ids"):
		return "multi-ID requests"
	case c.param("date_format") != "":
		return "date formatting"
	case c.query.Has("callback"):
		return "JSONP"
	case strings.Contains(c.param("fields"), ".as("):
		return "field aliases"
	case strings.HasSuffix(c.path, "/async_batch_requests"):
		return "asynchronous batch requests"
	}
	return ""
}

// method returns the HTTP method. For an old app the parameter "method" overrides it: such apps post a call that is too
// long for a URL with method=get ("Graph API Overview"), and Facebook's SDKs post method=delete.
func (c *call) method() string {
	if override := c.param("method"); override != "" && c.overrides {
		return strings.ToUpper(override)
	}
	return c.request.Method
}

// asksForIDs reports whether the call is a multi-ID request, which has no path.
func (c *call) asksForIDs() bool {
	return c.path == "" && c.param("ids") != "" && c.method() == http.MethodGet
}
