package authpipetest

import (
	"net/http"
	"slices"
	"strings"
)

// Endpoints by name, for [Fault] and [Facebook.Count].
const (
	EndpointDialog           = "dialog"            // /dialog/oauth
	EndpointAccessToken      = "access_token"      // /oauth/access_token with a code
	EndpointExchangeToken    = "exchange_token"    // /oauth/access_token, grant_type fb_exchange_token
	EndpointClientCode       = "client_code"       // /oauth/client_code
	EndpointAppToken         = "app_token"         // /oauth/access_token, grant_type client_credentials
	EndpointDiscovery        = "discovery"         // /.well-known/openid-configuration/
	EndpointJWKS             = "jwks"              // /.well-known/oauth/openid/jwks/
	EndpointDebugToken       = "debug_token"       // /debug_token
	EndpointMe               = "me"                // /me, and /{id} of a person or a page
	EndpointPermissions      = "permissions"       // GET /{user}/permissions
	EndpointRevoke           = "revoke"            // DELETE /{user}/permissions and /{user}/permissions/{permission}
	EndpointAccounts         = "accounts"          // GET /{user}/accounts
	EndpointFeed             = "feed"              // POST /{page}/feed
	EndpointPosts            = "posts"             // GET /{page}/feed, /{page}/posts and /{page}/published_posts
	EndpointPost             = "post"              // POST and DELETE /{post}
	EndpointPicture          = "picture"           // GET /{node}/picture
	EndpointPictureFile      = "picture_file"      // /platform/profilepic, where the URLs of pictures lead
	EndpointBusinesses       = "businesses"        // GET /{user}/businesses
	EndpointIntegrationToken = "integration_token" // POST /{business}/system_user_access_tokens
	EndpointSystemUsers      = "system_users"      // POST /{business}/system_users
	EndpointInstallApp       = "install_app"       // POST /{system user}/applications
	EndpointSystemToken      = "system_token"      // POST /{system user}/access_tokens
	EndpointRevokeToken      = "revoke_token"      // /oauth/revoke
	EndpointDeviceLogin      = "device_login"      // POST /device/login
	EndpointDeviceStatus     = "device_status"     // POST /device/login_status
	EndpointDevicePage       = "device_page"       // /device: where a person types in a user code
	EndpointSubscribe        = "subscribe"         // POST /{app}/subscriptions
	EndpointSubscriptions    = "subscriptions"     // GET and DELETE /{app}/subscriptions
	EndpointBatch            = "batch"             // POST of anything with the parameter batch
	EndpointIndex            = "index"             // /, which Facebook does not have: what is here
	EndpointUnknown          = "unknown"           // anything else
)

// route is a row of the route table.
type route struct {
	endpoint string
	methods  string // separated by spaces
	path     string // {node} and {permission} stand for any segment
	grant    string // the grant_type that it is for; empty: any
	serve    func(*Facebook, *call) answer
}

// routes is the map of the simulator; the first row that matches serves.
func routes() []route {
	return []route{
		{EndpointIndex, "GET HEAD", "", "", (*Facebook).index},
		{EndpointDialog, "GET HEAD POST", "dialog/oauth", "", (*Facebook).dialog},
		{EndpointExchangeToken, "GET POST", "oauth/access_token", "fb_exchange_token", graph((*Facebook).exchangeToken)},
		{EndpointAppToken, "GET POST", "oauth/access_token", "client_credentials", graph((*Facebook).appToken)},
		{EndpointAccessToken, "GET POST", "oauth/access_token", "", graph((*Facebook).exchangeCode)},
		{EndpointClientCode, "GET POST", "oauth/client_code", "", graph((*Facebook).clientCode)},
		{EndpointDeviceLogin, "POST", "device/login", "", graph((*Facebook).deviceBegin)},
		{EndpointDeviceStatus, "POST", "device/login_status", "", graph((*Facebook).deviceStatus)},
		{EndpointDevicePage, "GET HEAD POST", "device", "", (*Facebook).devicePage},
		{EndpointDiscovery, "GET HEAD", ".well-known/openid-configuration", "", (*Facebook).discovery},
		{EndpointJWKS, "GET HEAD", ".well-known/oauth/openid/jwks", "", (*Facebook).jwks},
		{EndpointPictureFile, "GET HEAD", "platform/profilepic", "", (*Facebook).pictureFile},
		{EndpointDebugToken, "GET", "debug_token", "", graph((*Facebook).debugToken)},
		{EndpointRevokeToken, "GET POST", "oauth/revoke", "", graph((*Facebook).revokeToken)},
		{EndpointBusinesses, "GET", "{node}/businesses", "", graph((*Facebook).businessList)},
		{EndpointIntegrationToken, "POST", "{node}/system_user_access_tokens", "", graph((*Facebook).integrationToken)},
		{EndpointSystemUsers, "POST", "{node}/system_users", "", graph((*Facebook).createSystemUser)},
		{EndpointInstallApp, "POST", "{node}/applications", "", graph((*Facebook).installApp)},
		{EndpointSystemToken, "POST", "{node}/access_tokens", "", graph((*Facebook).systemToken)},
		{EndpointSubscribe, "POST", "{node}/subscriptions", "", nil}, // see Facebook.answer
		{EndpointSubscriptions, "GET", "{node}/subscriptions", "", graph((*Facebook).subscriptionList)},
		{EndpointSubscriptions, "DELETE", "{node}/subscriptions", "", graph((*Facebook).unsubscribe)},
		{EndpointPermissions, "GET", "{node}/permissions", "", graph((*Facebook).permissions)},
		{EndpointRevoke, "DELETE", "{node}/permissions", "", graph((*Facebook).revoke)},
		{EndpointRevoke, "DELETE", "{node}/permissions/{permission}", "", graph((*Facebook).revoke)},
		{EndpointAccounts, "GET", "{node}/accounts", "", graph((*Facebook).accounts)},
		{EndpointFeed, "POST", "{node}/feed", "", graph((*Facebook).feed)},
		{EndpointPosts, "GET", "{node}/feed", "", graph((*Facebook).posts)},
		{EndpointPosts, "GET", "{node}/posts", "", graph((*Facebook).posts)},
		{EndpointPosts, "GET", "{node}/published_posts", "", graph((*Facebook).posts)},
		{EndpointPicture, "GET", "{node}/picture", "", (*Facebook).picture},
		{EndpointMe, "GET", "{node}", "", graph((*Facebook).me)},
		{EndpointPost, "POST DELETE", "{node}", "", graph((*Facebook).changePost)},
	}
}

func (c *call) findRoute() route {
	if c.method() == http.MethodPost && c.param("batch") != "" && !c.batched {
		return route{endpoint: EndpointBatch} // whatever its path: Meta's sample posts a batch to /me
	}
	if c.asksForIDs() {
		return route{endpoint: EndpointMe, serve: graph((*Facebook).multiple)}
	}
	for _, r := range routes() {
		if c.matches(r) && c.mayBe(r) {
			return r
		}
	}
	return route{endpoint: EndpointUnknown, serve: graph((*Facebook).unknown)}
}

// isPage tells what www.facebook.com has, and no batch reaches.
func (r route) isPage() bool {
	return slices.Contains([]string{
		EndpointIndex, EndpointDialog, EndpointDevicePage, EndpointDiscovery, EndpointJWKS, EndpointPictureFile,
	}, r.endpoint)
}

// mayBe keeps calls of the Graph API from the pages: of those, only the dialog has versions, and a call with a token to / is not
// for the index. Whatever is below a version is answered in JSON but for the dialog.
func (c *call) mayBe(r route) bool {
	switch {
	case !r.isPage():
		return true
	case r.endpoint == EndpointIndex && (c.accessToken() != "" || c.query.Has("ids")):
		return false
	}
	return !c.batched && (c.version == "" || r.endpoint == EndpointDialog)
}

// matches leaves the route's segments behind in the call.
func (c *call) matches(r route) bool {
	if !hasWord(r.methods, c.method()) || r.grant != "" && r.grant != c.param("grant_type") {
		return false
	}
	have, want := strings.Split(c.path, "/"), strings.Split(r.path, "/")
	if len(have) != len(want) {
		return false
	}
	for i, segment := range want {
		switch {
		case segment == "{node}" && have[i] != "" && !strings.Contains(have[i], "."): // favicon.ico, which browsers ask for, is no node
			c.node = have[i]
		case segment == "{permission}":
			c.permission = have[i]
		case segment != have[i]:
			return false
		}
	}
	return true
}

func hasWord(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

// graph makes a route of an endpoint of the Graph API, which answers JSON and knows its versions.
func graph(serve func(*Facebook, *call) (any, error)) func(*Facebook, *call) answer {
	return func(f *Facebook, c *call) answer {
		if !f.knows(c.version) {
			return f.graphAnswer(c, nil, unknownPath(c))
		}
		if err := f.refuseDiscontinued(c); err != nil {
			return f.graphAnswer(c, nil, err)
		}
		body, err := serve(f, c)
		return f.graphAnswer(c, body, err)
	}
}

// unknown answers what no route matches: a wrong method on a node, or nothing that Facebook has.
func (f *Facebook) unknown(c *call) (any, error) {
	if c.path == "" {
		return nil, unsupported(c)
	}
	if node, _, deeper := strings.Cut(c.path, "/"); !deeper && c.request.Method != http.MethodGet {
		return nil, noSuchObject(c, node)
	}
	return nil, unknownPath(c)
}
