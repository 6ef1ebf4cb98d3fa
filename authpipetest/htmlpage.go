package authpipetest

import (
	"bytes"
	"cmp"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
)

//go:embed html/*.html
var htmlFiles embed.FS

var (
	peopleTemplate  = pageTemplate("people.html")
	consentTemplate = pageTemplate("consent.html")
	errorTemplate   = pageTemplate("error.html")
	indexTemplate   = pageTemplate("index.html")
)

func pageTemplate(name string) *template.Template {
	return template.Must(template.ParseFS(htmlFiles, "html/layout.html", "html/"+name))
}

func (f *Facebook) htmlAnswer(status int, t *template.Template, shown any) answer {
	var body bytes.Buffer
	if err := t.Execute(&body, shown); err != nil {
		panic("writing a page: " + err.Error()) // a bug in a template
	}
	a := answer{status: status, header: f.noStore(), body: body.Bytes()}
	a.header.Set("Content-Type", "text/html; charset=utf-8")
	// no form-action: a browser would hold it against the redirect that follows the form
	a.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	return a
}

// stepAs is the parameter by which the page of people leads to the page of permissions.
const stepAs = "_as"

// consentPage asks the person in front of the browser: first who they are, then what they allow.
func (f *Facebook) consentPage(c *call, l login) answer {
	as := f.books.users[c.query.Get(stepAs)]
	if as == nil && len(f.books.people) == 1 {
		as = f.books.users[f.books.people[0]]
	}
	if as == nil {
		return f.htmlAnswer(http.StatusOK, peopleTemplate, map[string]any{"App": l.app.Name, "People": f.choices(c)})
	}
	g := f.books.grantOf(l.app.ID, as.ID)
	shown := map[string]any{"App": l.app.Name, "Name": as.Name, "User": as.ID, "Host": host(l.redirectURI)}
	shown["Offered"] = slices.DeleteFunc(l.offered(g), func(s string) bool { return s == publicProfile })
	if g != nil {
		shown["Granted"] = g.granted()
	}
	shown["AsksPages"] = slices.ContainsFunc(l.scopes, perAsset)
	shown["Pages"] = f.pagesOf(as.Pages)
	if l.configuration != nil {
		shown["Offered"], shown["Granted"] = l.configuration.Permissions, nil
	}
	if l.configuration != nil && l.configuration.TokenKind == KindSystemUser {
		f.showBusinesses(shown, as)
	}
	return f.htmlAnswer(http.StatusOK, consentTemplate, shown)
}

type choice struct{ Name, URL string }

func (f *Facebook) choices(c *call) []choice {
	var people []choice
	for _, id := range f.books.people {
		q := c.request.URL.Query()
		q.Set(stepAs, id)
		people = append(people, choice{f.books.users[id].Name, "?" + q.Encode()})
	}
	return people
}

// showBusinesses has the page ask for a business, and offer its pages instead of the person's.
func (f *Facebook) showBusinesses(shown map[string]any, as *User) {
	var businesses []*Business
	var pages []string
	for _, id := range f.books.businessesOf(&token{kind: KindUser, person: as.ID}) {
		businesses = append(businesses, f.books.businesses[id])
		pages = append(pages, f.books.businesses[id].Pages...)
	}
	shown["Businesses"], shown["Pages"] = businesses, f.pagesOf(pages)
}

func (f *Facebook) pagesOf(ids []string) []*Page {
	var pages []*Page
	for _, id := range ids {
		if p := f.books.pages[id]; p != nil {
			pages = append(pages, p)
		}
	}
	return pages
}

// posted is what the consent page says: the boxes that are still ticked, and the button.
func (f *Facebook) posted(form url.Values, l login) Consent {
	consent := Consent{User: form.Get("user"), Cancel: form.Get("action") != "continue"}
	consent.Business = form.Get("business")
	consent.Decline = slices.DeleteFunc(l.offered(f.books.grantOf(l.app.ID, consent.User)), func(s string) bool {
		return slices.Contains(form["allow"], s)
	})
	if l.configuration != nil {
		consent.Decline = beyond(l.configuration.Permissions, form["allow"])
	}
	if form.Has("pages") {
		consent.Pages = append([]string{}, form["page"]...)
	}
	return consent
}

func host(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return uri
	}
	return u.Host
}

// index tells a person what is here. Facebook has no such page.
func (f *Facebook) index(*call) answer {
	apps := make([]*App, 0, len(f.books.apps))
	for _, app := range f.books.apps {
		apps = append(apps, app)
	}
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(a.ID, b.ID) })
	return f.htmlAnswer(http.StatusOK, indexTemplate, map[string]any{"Apps": apps, "People": f.peopleInOrder()})
}
