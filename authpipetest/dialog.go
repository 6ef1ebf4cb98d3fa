package authpipetest

import (
	"errors"
	"net/http"
)

// dialog is the login dialog ("Manually Build a Login Flow"). It redirects only to what the app has registered, and shows
// an error page otherwise.
func (f *Facebook) dialog(c *call) answer {
	l, err := f.readLogin(c)
	if err != nil {
		return f.errorPage(err)
	}
	c.app = l.app
	consent, known := f.consentOf(c, l)
	if !known {
		return f.consentPage(c, l)
	}
	location, err := f.conclude(l, consent)
	if err != nil {
		return f.errorPage(err)
	}
	a := answer{status: http.StatusFound, header: f.noStore()}
	a.header.Set("Location", location)
	return a
}

func (f *Facebook) errorPage(err error) answer {
	shown := blocked{"Error", err.Error()}
	errors.As(err, &shown)
	return f.htmlAnswer(f.options().BlockedStatus, errorTemplate, map[string]string{"Title": shown.title, "Text": shown.text})
}
