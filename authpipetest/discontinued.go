package authpipetest

import (
	"cmp"
	"net/http"
	"strings"
)

// discontinued names what of the call new apps have not been able to use since 2026-11-04, on any version of the API
// ("Introducing Graph API v27.0 and Marketing API v27.0"), or returns "".
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

// refuseDiscontinued refuses what a new app may not use. The error is [Options].DiscontinuedError.
func (f *Facebook) refuseDiscontinued(c *call) error {
	feature := c.discontinued()
	if feature == "" || f.options().OldApps {
		return nil
	}
	c.entry.Discontinued = feature
	if e := f.options().DiscontinuedError; e != nil {
		r := flawed(e)
		r.Type, r.challenge = cmp.Or(e.Type, "OAuthException"), ""
		return r
	}
	return methodError(codeInvalid, 0, "(#100) %s is not available to this app", feature)
}

// method is the request's. For an old app it is what the parameter method says: such apps post a call that is too long for a
// URL with method=get ("Graph API Overview"), and Facebook's SDKs post method=delete.
func (c *call) method() string {
	if override := c.param("method"); override != "" && c.overrides {
		return strings.ToUpper(override)
	}
	return c.request.Method
}

// multiple answers /?ids=…: an object for each id, by that id.
func (f *Facebook) multiple(c *call) (any, error) {
	all := object{}
	for _, id := range words(c.param("ids")) {
		c.node = id
		one, err := f.me(c)
		if err != nil {
			return nil, err
		}
		all = append(all, member{id, one})
	}
	return all, nil
}

// asksForIDs reports whether it is a multi-ID request, which has no path.
func (c *call) asksForIDs() bool {
	return c.path == "" && c.param("ids") != "" && c.method() == http.MethodGet
}
