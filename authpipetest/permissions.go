package authpipetest

type permissionAnswer struct {
	Permission string `json:"permission"`
	Status     string `json:"status"`
}

// permissions lists what a person granted and declined ("User Permissions"). The filters are permission and status.
func (f *Facebook) permissions(c *call) (any, error) {
	g, err := f.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"data": g.list(c.param("permission"), c.param("status"))}, nil
}

// list lists permissions: only the one named, and only those with the status, unless these are empty.
func (g *grant) list(only, status string) []permissionAnswer {
	listed := []permissionAnswer{}
	for _, name := range g.names() {
		if (only == "" || only == name) && (status == "" || status == g.permissions[name]) {
			listed = append(listed, permissionAnswer{name, g.permissions[name]})
		}
	}
	return listed
}

// revoke takes one permission back, or removes the app altogether ("User Permissions"). A single permission costs no token.
func (f *Facebook) revoke(c *call) (any, error) {
	g, err := f.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	if c.permission != "" {
		f.endPermission(g, c.permission)
	} else {
		f.endGrant(g.app, g.person)
	}
	if f.options().RevokeAnswersTrue {
		return true, nil
	}
	return map[string]bool{"success": true}, nil
}

// permissionsOf is the grant that the call is about. The caller is the person or the app.
func (f *Facebook) permissionsOf(c *call) (*grant, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	whom, err := f.target(c, t)
	if err != nil {
		return nil, err
	}
	if whom.page != "" {
		return nil, noSuchField("permissions", "Page")
	}
	if whom.business != "" {
		return nil, noSuchField("permissions", "Business")
	}
	return f.books.grantOf(t.app, whom.person), nil
}
