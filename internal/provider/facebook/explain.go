package facebook

import (
	"fmt"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

const (
	tokenPrefix = "EAA"
	// shortest is fewer characters than any token has that Facebook issues.
	shortest = 60
)

// deadBecause says why a token is dead, by the subcodes of code 190 (Meta: "Handle
// Errors").
var deadBecause = map[int]string{
	458: "the person has removed the app",
	459: "the person must first pass a checkpoint at facebook.com",
	460: "it was invalidated: the person changed their password, or Facebook ended the session",
	463: "it has expired",
	464: "the person is not confirmed, or the business has removed the app",
	467: "it was invalidated: the person logged out",
	468: "it was invalidated: it was not used for long",
}

// ExplainImport implements [provider.Provider].
func (p *Provider) ExplainImport(e *provider.Error, token oauth.Secret) provider.Explanation {
	g := graphError{Code: number(e.Code), Subcode: number(e.Subcode), Message: e.Message}
	subcode, session := g.session()
	switch {
	case g.says("did not match the Viewing App", "belongs to another app"):
		return provider.Explanation{Text: "it is another app's: import it at the mount whose client_id is that app, or connect again with this one"}
	case session && (subcode == 456 || g.says("cannot parse access token", "malformed access token", "could not be decrypted")):
		return provider.Explanation{Malformed: true, Text: "is no access token that Facebook knows: " + shape(token.Reveal())}
	case !session && e.Class != provider.NeedsReauth && e.Class != provider.Revoked:
		return provider.Explanation{}
	case deadBecause[int(subcode)] != "":
		return provider.Explanation{Text: "it is dead: " + deadBecause[int(subcode)]}
	}
	return provider.Explanation{Text: "it is not valid, and Facebook does not say why: if it was just in use, try again in some minutes"}
}

// shape says what is odd about a text that Facebook does not know as a token,
// without showing any of it.
func shape(token string) string {
	switch {
	case strings.HasPrefix(token, "IG"):
		return "it begins as those of Instagram Login do, which are for another API"
	case strings.Contains(token, "%"):
		return "it has percent signs in it: take it from the answer, and not from a URL"
	case !strings.HasPrefix(token, tokenPrefix):
		return "it does not begin with " + tokenPrefix + ", as Facebook's tokens do: its beginning may be cut, or it is something else"
	case len(token) < shortest:
		return fmt.Sprintf("it was cut, for it has %d characters and the shortest of Facebook's have more than %d", len(token), shortest)
	}
	return "it was cut or changed on its way; copy the whole of it"
}
