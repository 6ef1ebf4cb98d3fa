package paths

import (
	"cmp"
	"maps"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// captured describes the fields that are segments of the path.
var captured = map[string]*framework.FieldSchema{
	"provider": {Type: framework.TypeString, Description: "The provider's short name, such as facebook."},
	"tenant":   {Type: framework.TypeString, Description: "The tenant: the organization or workspace that owns the credential."},
	"user":     {Type: framework.TypeString, Description: "The application's id of the person who authorized."},
	"page":     {Type: framework.TypeString, Description: "The provider's id of a page."},
	"name":     {Type: framework.TypeString, Description: "The name of a static credential."},
	"session":  {Type: framework.TypeString, Description: "The id of the session, as connect/ answered it."},
	"account":  {Type: framework.TypeString, Description: "The provider's id of a person, a system user or a business."},
	"status":   {Type: framework.TypeString, Description: "A status other than active: needs_reauth, revoked or failed.", AllowedValues: oneOf(store.NotActive...)},
}

// fields returns a schema of the named captured fields and of own, each with a
// label.
func fields(own map[string]*framework.FieldSchema, names ...string) map[string]*framework.FieldSchema {
	all := map[string]*framework.FieldSchema{}
	for name, schema := range own {
		all[name] = labelled(name, *schema)
	}
	for _, name := range names {
		all[name] = labelled(name, *captured[name])
	}
	return all
}

// labelled returns the schema with a name that a form can show.
func labelled(name string, schema framework.FieldSchema) *framework.FieldSchema {
	attrs := framework.DisplayAttributes{}
	if schema.DisplayAttrs != nil {
		attrs = *schema.DisplayAttrs
	}
	attrs.Name = label(name)
	schema.DisplayAttrs = &attrs
	return &schema
}

// spelled has the abbreviations in labels.
var spelled = map[string]string{"id": "ID", "uri": "URI", "uris": "URIs", "url": "URL", "urls": "URLs", "ttl": "TTL", "pkce": "PKCE"}

// label returns a field's name as a form shows it: "Redirect URIs".
func label(name string) string {
	words := strings.Split(name, "_")
	words[0] = strings.ToUpper(words[0][:1]) + words[0][1:]
	for i, word := range words {
		words[i] = cmp.Or(spelled[strings.ToLower(word)], word)
	}
	return strings.Join(words, " ")
}

// oneOf are the values that a field may have.
func oneOf[T ~string](values ...T) []any {
	all := make([]any, len(values))
	for i, value := range values {
		all[i] = string(value)
	}
	return all
}

// grouped are display attributes of a field that a form shows in a group.
func grouped(group string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{Group: group}
}

// secret are display attributes of what a form masks.
func secret(group string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{Group: group, Sensitive: true}
}

// An answer describes the fields of an operation's answer. The framework makes the OpenAPI
// document of it and checks nothing; the tests compare every answer with it. Every answer
// has the required fields.
type answer = map[string]*framework.FieldSchema

// joined returns the fields of all the answers.
func joined(all ...answer) answer {
	whole := answer{}
	for _, a := range all {
		maps.Copy(whole, a)
	}
	return whole
}
