package authpipetest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
)

// Parameters by which the dialog's pages link to one another.
const (
	stepAs   = "_as"   // the page of people leads to the page of permissions
	stepEdit = "_edit" // and that leads to the choice of pages, where the login does not offer it
)

// assetGroup is a business portfolio and its pages on the consent page. Pages without one are in a group without a name.
type assetGroup struct {
	Name  string
	Pages []assetChoice
}

type assetChoice struct {
	ID, Name string
	Checked  bool
}

// consentPage asks who the person is, and then for their consent.
func (d *dialog) consentPage(c *call, l login) answer {
	as := d.directory.users[c.query.Get(stepAs)]
	if as == nil && len(d.directory.people) == 1 {
		as = d.directory.users[d.directory.people[0]]
	}
	if as == nil {
		return htmlAnswer(d.options().Now(), http.StatusOK, peopleTemplate, map[string]any{"App": l.app.Name, "People": d.choices(c)})
	}
	g := d.grants.of(l.app.ID, as.ID)
	shown := map[string]any{"App": l.app.Name, "Name": as.Name, "User": as.ID, "Host": host(l.redirectURI)}
	shown["Offered"] = slices.DeleteFunc(l.offered(g), func(s string) bool { return s == publicProfile })
	if g != nil {
		shown["Granted"] = g.granted()
	}
	if l.configuration != nil {
		shown["Offered"], shown["Granted"] = l.configuration.Permissions, nil
	}
	switch asksAssets := slices.ContainsFunc(l.scopes, perAsset); {
	case l.configuration != nil && l.configuration.TokenKind == KindSystemUser:
		d.showBusinesses(shown, l, as)
	case l.offersAssets(g):
		d.showAssets(shown, l, as, g)
	case asksAssets:
		shown["Edit"] = c.linkWith(stepEdit, "1")
	}
	return htmlAnswer(d.options().Now(), http.StatusOK, consentTemplate, shown)
}

type choice struct{ Name, URL string }

func (d *dialog) choices(c *call) []choice {
	var people []choice
	for _, id := range d.directory.people {
		people = append(people, choice{d.directory.users[id].Name, c.linkWith(stepAs, id)})
	}
	return people
}

// linkWith is a link to the page itself with a parameter added or replaced.
func (c *call) linkWith(name, value string) string {
	q := c.request.URL.Query()
	q.Set(name, value)
	return "?" + q.Encode()
}

// showAssets makes the page ask for the person's pages and businesses. All are selected at the first consent, and those
// that are granted at later ones.
func (d *dialog) showAssets(shown map[string]any, l login, as *User, g *grant) {
	had := g != nil && slices.ContainsFunc(g.granted(), perPage)
	if slices.ContainsFunc(l.scopes, perPage) {
		shown["AsksPages"] = true
		shown["Groups"] = d.grouped(d.directory.pagesOf(as.Pages), func(page string) bool { return !had || g.selected(page) })
	}
	had = g != nil && g.permissions[managesBusinesses] == Granted
	if slices.Contains(l.scopes, managesBusinesses) {
		var businesses []assetChoice
		for _, id := range d.directory.joinedBy(as.ID) {
			businesses = append(businesses, assetChoice{id, d.directory.businesses[id].Name, !had || g.selectedBusiness(id)})
		}
		shown["AsksBusinesses"], shown["Managed"] = true, businesses
	}
}

// grouped groups pages by the business portfolio that holds them: first those without one, then in the order in which the
// portfolios appear.
func (d *dialog) grouped(pages []*Page, checked func(page string) bool) []assetGroup {
	groups := []assetGroup{{}}
	at := map[string]int{"": 0}
	for _, p := range pages {
		if _, known := at[p.Portfolio]; !known {
			at[p.Portfolio] = len(groups)
			groups = append(groups, assetGroup{Name: d.directory.businessName(p.Portfolio)})
		}
		group := &groups[at[p.Portfolio]]
		group.Pages = append(group.Pages, assetChoice{p.ID, p.Name, checked(p.ID)})
	}
	return slices.DeleteFunc(groups, func(group assetGroup) bool { return len(group.Pages) == 0 })
}

// businessName is the name of a business, or its id if it was not added.
func (d *directory) businessName(id string) string {
	if b := d.businesses[id]; b != nil {
		return b.Name
	}
	return id
}

// showBusinesses makes the page ask for a business, and offer the pages of the person's businesses instead of their own.
func (d *dialog) showBusinesses(shown map[string]any, l login, as *User) {
	var businesses []*Business
	var groups []assetGroup
	for _, id := range d.directory.administeredBy(as.ID) {
		b, g := d.directory.businesses[id], d.grants.of(l.app.ID, d.grants.integrationUser(l.app.ID, id))
		businesses = append(businesses, b)
		group := assetGroup{Name: b.Name}
		for _, p := range d.directory.pagesOf(b.Pages) {
			group.Pages = append(group.Pages, assetChoice{p.ID, p.Name, g == nil || g.selected(p.ID)})
		}
		if len(group.Pages) > 0 {
			groups = append(groups, group)
		}
	}
	shown["Businesses"], shown["Groups"] = businesses, groups
	shown["AsksPages"] = slices.ContainsFunc(l.scopes, perAsset)
}

// posted reads the consent page's form.
func (d *dialog) posted(form url.Values, l login) Consent {
	consent := Consent{User: form.Get("user"), Cancel: form.Get("action") != "continue", AsOffered: true}
	consent.Business = form.Get("business")
	consent.Decline = slices.DeleteFunc(l.offered(d.grants.of(l.app.ID, consent.User)), func(s string) bool {
		return slices.Contains(form["allow"], s)
	})
	if l.configuration != nil {
		consent.Decline = beyond(l.configuration.Permissions, form["allow"])
	}
	if form.Has("pages") {
		consent.Pages = append([]string{}, form["page"]...)
	}
	if form.Has("businesses") {
		consent.Businesses = append([]string{}, form["managed"]...)
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

// index is the page at /, which Facebook does not have: the apps and people of the simulator.
func (d *dialog) index(*call) answer {
	apps := make([]*App, 0, len(d.directory.apps))
	for _, app := range d.directory.apps {
		apps = append(apps, app)
	}
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(a.ID, b.ID) })
	return htmlAnswer(d.options().Now(), http.StatusOK, indexTemplate, map[string]any{"Apps": apps, "People": d.directory.peopleInOrder()})
}
