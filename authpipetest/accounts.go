package authpipetest

import "slices"

// accountFields are the default fields of a page in the list.
var accountFields = []string{"access_token", "category", "category_list", "name", "id", "tasks"}

// accounts lists the pages that the person selected for the app, each with its own token ("User Accounts"). Without
// pages_show_list the list is empty.
func (f *Facebook) accounts(c *call) (any, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	whom, err := f.target(c, t)
	switch {
	case err != nil:
		return nil, err
	case whom.page != "":
		return nil, noSuchField("accounts", "Page")
	case whom.business != "":
		return nil, noSuchField("accounts", "Business")
	case t.kind == KindApp:
		return nil, oauthError(codeSession, "A user access token is required to request this resource.")
	}
	e, err := c.edgeOf(f.accountsPath(t))
	if err != nil {
		return nil, err
	}
	return f.accountsOf(c, t, e)
}

func (f *Facebook) accountsPath(t *token) string { return f.ScopedID(t.app, t.person) + "/accounts" }

func (f *Facebook) accountsOf(c *call, t *token, e edge) (listing, error) {
	return f.list(c, t, e, f.listed(t), func(id string) node {
		n := f.pageNode(c, t, f.books.pages[id])
		n.byDefault = accountFields
		return n
	})
}

// listed are the pages in the list of a user token.
func (f *Facebook) listed(t *token) []string {
	return slices.DeleteFunc(f.readable(t), func(page string) bool {
		return f.books.pages[page].Portfolio != "" && !t.has("business_management")
	})
}

// readable are the pages that a user token reaches.
func (f *Facebook) readable(t *token) []string {
	if !t.has("pages_show_list") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.books.users[t.person].Pages), func(page string) bool {
		return f.books.pages[page] == nil || !t.selected(page)
	})
}

func (f *Facebook) mayRead(t *token, page string) bool { return slices.Contains(f.readable(t), page) }

// pageNode is a page as the token sees it ("Page").
func (f *Facebook) pageNode(c *call, t *token, p *Page) node {
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
		values["instagram_business_account"] = f.instagramAccount(p.Instagram)
	}
	for name := range values {
		if needed := pageFieldPermission(name); needed != "" && !t.has(needed) {
			values[name] = nil
		}
	}
	values["id"], values["name"], values["category"], values["tasks"] = p.ID, p.Name, p.Category, p.Tasks
	values["category_list"] = []object{{{"id", "1605186416478696"}, {"name", p.Category}}}
	values["picture"] = expansion(func(x field) (any, error) { return f.pictureOf(c, p.ID, x.args).expand(x) })
	values["access_token"] = t.value
	if t.personal() {
		values["access_token"] = f.pageTokenOf(t, p.ID).value
	}
	for _, name := range []string{"feed", "posts", "published_posts"} {
		values[name] = expansion(func(x field) (any, error) {
			if err := f.mayReadPosts(t); err != nil {
				return nil, err
			}
			return expanded(f.postsOf(c, t, p, x.edge(p.ID+"/"+name)))
		})
	}
	return node{"Page", []string{"id", "name"}, pageFieldNames, values}
}

// instagramAccount is the professional account at Instagram that a page is linked with. The simulator knows its id only.
func (f *Facebook) instagramAccount(id string) expansion {
	return func(x field) (any, error) {
		return node{"IGUser", []string{"id"}, "biography followers_count follows_count has_profile_pic ig_id media_count name " +
			"profile_picture_url username website", map[string]any{"id": id}}.pick(x.fields)
	}
}
