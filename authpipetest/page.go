package authpipetest

import "slices"

// Permissions that reading a page needs: one for the page itself, the other for its content.
const (
	listsPages = "pages_show_list"
	readsPages = "pages_read_engagement"
)

// Texts of a missing permission for a page, from public reports.
const (
	mayNotManagePage   = "(#200) Requires pages_read_engagement permission to manage the object"
	mayNotImpersonate  = "(#190) The pages_read_engagement permission(s) must be granted before impersonating a user's page."
	missingPermissions = "(#100) Missing Permission"
)

// accessTo reports how the token may read a page by its id. own is true if the person selected the page for the app and
// has a role on it: only then are there tasks and an access_token. Otherwise the token may read the public fields. An
// error says that it may read nothing. Most often the page does not exist for such a token; if it is the person's own,
// a permission is missing.
func (ns *nodes) accessTo(c *call, t *token, p *Page) (own bool, err error) {
	own = t.kind == KindPage && t.page == p.ID ||
		t.personal() && ns.directory.mayHave(t.person, p.ID) && t.selected(p.ID)
	switch {
	case own && (t.kind == KindPage || t.has(listsPages) || t.has(readsPages)):
		return true, nil
	case ns.isPublic(t, p):
		return false, nil
	case own && slices.ContainsFunc(t.effective(), perPage):
		return false, ns.graph.pageScopeError()
	}
	return false, noSuchObject(c, c.node)
}

// isPublic reports whether the token's app may read the page without any consent ("Page Public Content Access").
func (ns *nodes) isPublic(t *token, p *Page) bool {
	return ns.directory.apps[t.app].PublicContentAccess && p.Fields["is_published"] != false
}

// pageScopeError is the error about a permission that the token lacks for a page. Reports have several: see
// [Options].PageScopeErrorCode.
func (gr *graph) pageScopeError() refusal {
	switch gr.options().PageScopeErrorCode {
	case codeInvalid:
		return oauthError(codeInvalid, missingPermissions)
	case codeToken:
		return tokenError(0, mayNotImpersonate)
	case codePermission:
		return gr.permissionError(mayNotManagePage)
	}
	r := gr.permissionError(mayNotRead)
	r.Code = codeAppPermission
	return r
}

// addRights adds the tasks of the person behind the token and the page's token. There is no token without tasks.
func (ns *nodes) addRights(t *token, p *Page, values map[string]any) {
	if t.personal() && p.NeedsBusinessManagement && !t.manages(p) {
		return
	}
	tasks := ns.directory.tasksOf(t.person, p.ID)
	values["tasks"] = append([]string{}, tasks...)
	switch {
	case t.kind == KindPage:
		values["access_token"] = t.value
	case len(tasks) > 0:
		values["access_token"] = ns.tokens.pageTokenOf(t, p.ID).value
	}
}

// manages reports whether the token has business_management for the portfolio that holds the page. A page outside any
// portfolio needs none.
func (t *token) manages(p *Page) bool {
	return p.Portfolio == "" || t.has(managesBusinesses) && t.grant.selectedBusiness(p.Portfolio)
}

// pageNode is a page as visible to the token ("Page").
func (ns *nodes) pageNode(c *call, t *token, p *Page) node {
	own, _ := ns.accessTo(c, t, p) // the caller may have found the page by another way than its id
	link := "https://www.facebook.com/" + p.ID
	if p.Username != "" {
		link = "https://www.facebook.com/" + p.Username
	}
	values := map[string]any{"is_published": true, "link": link}
	for name, value := range p.Fields {
		values[name] = value
	}
	if p.Username != "" {
		values["username"] = p.Username
	}
	if p.Instagram != "" {
		values["instagram_business_account"] = instagramAccount(p.Instagram)
	}
	for name := range values {
		if needed := pageFieldPermission(name); needed != "" && !t.has(needed) && (needed != readsPages || !ns.isPublic(t, p)) {
			values[name] = nil
		}
	}
	values["id"], values["name"], values["category"] = p.ID, p.Name, p.Category
	values["category_list"] = []object{{{"id", "1605186416478696"}, {"name", p.Category}}}
	values["picture"] = expansion(func(x field) (any, error) { return pictureOf(c, p.ID, x.args).expand(x) })
	if own {
		ns.addRights(t, p, values)
	}
	for _, name := range []string{"feed", "posts", "published_posts"} {
		values[name] = expansion(func(x field) (any, error) {
			if err := ns.posts.mayRead(t); err != nil {
				return nil, err
			}
			return expanded(ns.posts.listOf(c, t, p, x.edge(p.ID+"/"+name)))
		})
	}
	return node{"Page", []string{"id", "name"}, pageFieldNames, values}
}

// instagramAccount is the professional account at Instagram that a page is linked with. The simulator has only its id.
func instagramAccount(id string) expansion {
	return func(x field) (any, error) {
		return node{"IGUser", []string{"id"}, "biography followers_count follows_count has_profile_pic ig_id media_count name " +
			"profile_picture_url username website", map[string]any{"id": id}}.pick(x.fields)
	}
}
