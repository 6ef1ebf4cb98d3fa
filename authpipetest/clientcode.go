package authpipetest

// clientCode gives a server a code for its long-lived token, which a client redeems without the secret ("Long-Lived Access
// Tokens": "Get a Long-Lived Token on a Client").
func (f *Facebook) clientCode(c *call) (any, error) {
	app, secret, err := f.client(c)
	switch {
	case err != nil:
		return nil, err
	case secret == "":
		return nil, errClientSecret()
	}
	t, err := f.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case t.kind != KindUser || t.app != app.ID:
		return nil, oauthError(codeSession, "A user access token is required to request this resource.")
	case c.param("redirect_uri") == "":
		return nil, oauthError(codeRedirectURI, "Missing redirect_uri parameter.")
	}
	value := newCodeValue()
	f.books.codes[value] = &code{app: app.ID, grant: t.grant, redirectURI: c.param("redirect_uri"), issued: f.options().Now(), client: true}
	return map[string]string{"code": value}, nil
}

// machine names the client that redeems such a code, so that Facebook knows it again.
func (c *call) machine() string {
	if id := c.param("machine_id"); id != "" {
		return id
	}
	return random(alphanumerics, 24)
}
