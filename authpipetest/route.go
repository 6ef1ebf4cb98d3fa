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

// endpoints has the handlers of requests by subject.
type endpoints struct {
	graph         *graph         // graph.go: shared by all endpoints of the Graph API
	openID        *openID        // idtoken.go
	businesses    *businesses    // business.go
	tokenEndpoint *tokenEndpoint // tokenendpoint.go
	debugger      *debugger      // debugtoken.go
	dialog        *dialog        // dialog.go, consent.go
	devices       *devices       // device.go
	nodes         *nodes         // nodes.go: people, pages and businesses
	posts         *posts         // posts.go
	webhooks      *webhooks      // subscription.go
}

func newEndpoints(f *Facebook) endpoints {
	var e endpoints
	e.graph = &graph{settings: f.settings, directory: f.directory, tokens: f.tokens, throttles: f.throttles}
	e.openID = &openID{settings: f.settings, directory: f.directory}
	e.businesses = &businesses{settings: f.settings, graph: e.graph, directory: f.directory, grants: f.grants, tokens: f.tokens}
	e.tokenEndpoint = newTokenEndpoint(e.graph, f.tokens, e.openID, e.businesses)
	e.debugger = &debugger{settings: f.settings, graph: e.graph, directory: f.directory, tokens: f.tokens}
	e.dialog = &dialog{
		settings: f.settings, directory: f.directory, grants: f.grants, tokens: f.tokens, openID: e.openID, tokenEndpoint: e.tokenEndpoint,
	}
	e.devices = &devices{settings: f.settings, directory: f.directory, grants: f.grants, tokens: f.tokens}
	e.posts = newPosts(e.graph, f.directory, f.tokens)
	e.nodes = &nodes{
		settings: f.settings, graph: e.graph, directory: f.directory, grants: f.grants, tokens: f.tokens, businesses: e.businesses, posts: e.posts,
		lists: newPageLists(f.settings),
	}
	e.posts.nodes = e.nodes // a page has the field posts, and a post the field from
	e.webhooks = &webhooks{settings: f.settings, mu: &f.mu, graph: e.graph, notifications: f.notifications}
	return e
}

// route is a row of the route table.
type route struct {
	endpoint string
	methods  string // separated by spaces
	path     string // {node} and {permission} stand for any segment
	grant    string // the grant_type that it is for; empty: any
	serve    func(*call) answer
}

// routes is the route table. The first row that matches serves the call.
func (e endpoints) routes() []route {
	graph := e.graph.endpoint
	return []route{
		{EndpointIndex, "GET HEAD", "", "", e.dialog.index},
		{EndpointDialog, "GET HEAD POST", "dialog/oauth", "", e.dialog.serve},
		{EndpointExchangeToken, "GET POST", "oauth/access_token", "fb_exchange_token", graph(e.tokenEndpoint.exchangeToken)},
		{EndpointAppToken, "GET POST", "oauth/access_token", "client_credentials", graph(e.tokenEndpoint.appToken)},
		{EndpointAccessToken, "GET POST", "oauth/access_token", "", graph(e.tokenEndpoint.exchangeCode)},
		{EndpointClientCode, "GET POST", "oauth/client_code", "", graph(e.tokenEndpoint.clientCode)},
		{EndpointDeviceLogin, "POST", "device/login", "", graph(e.devices.begin)},
		{EndpointDeviceStatus, "POST", "device/login_status", "", graph(e.devices.status)},
		{EndpointDevicePage, "GET HEAD POST", "device", "", e.devices.page},
		{EndpointDiscovery, "GET HEAD", ".well-known/openid-configuration", "", e.openID.discovery},
		{EndpointJWKS, "GET HEAD", ".well-known/oauth/openid/jwks", "", e.openID.jwks},
		{EndpointPictureFile, "GET HEAD", "platform/profilepic", "", e.nodes.pictureFile},
		{EndpointDebugToken, "GET", "debug_token", "", graph(e.debugger.debugToken)},
		{EndpointRevokeToken, "GET POST", "oauth/revoke", "", graph(e.businesses.revokeToken)},
		{EndpointBusinesses, "GET", "{node}/businesses", "", graph(e.businesses.list)},
		{EndpointIntegrationToken, "POST", "{node}/system_user_access_tokens", "", graph(e.businesses.integrationToken)},
		{EndpointSystemUsers, "POST", "{node}/system_users", "", graph(e.businesses.createSystemUser)},
		{EndpointInstallApp, "POST", "{node}/applications", "", graph(e.businesses.installApp)},
		{EndpointSystemToken, "POST", "{node}/access_tokens", "", graph(e.businesses.systemToken)},
		{EndpointSubscribe, "POST", "{node}/subscriptions", "", e.webhooks.subscribe},
		{EndpointSubscriptions, "GET", "{node}/subscriptions", "", graph(e.webhooks.list)},
		{EndpointSubscriptions, "DELETE", "{node}/subscriptions", "", graph(e.webhooks.unsubscribe)},
		{EndpointPermissions, "GET", "{node}/permissions", "", graph(e.nodes.permissions)},
		{EndpointRevoke, "DELETE", "{node}/permissions", "", graph(e.nodes.revoke)},
		{EndpointRevoke, "DELETE", "{node}/permissions/{permission}", "", graph(e.nodes.revoke)},
		{EndpointAccounts, "GET", "{node}/accounts", "", graph(e.nodes.accounts)},
		{EndpointFeed, "POST", "{node}/feed", "", graph(e.posts.publish)},
		{EndpointPosts, "GET", "{node}/feed", "", graph(e.posts.list)},
		{EndpointPosts, "GET", "{node}/posts", "", graph(e.posts.list)},
		{EndpointPosts, "GET", "{node}/published_posts", "", graph(e.posts.list)},
		{EndpointPicture, "GET", "{node}/picture", "", e.nodes.picture},
		{EndpointMe, "GET", "{node}", "", graph(e.nodes.me)},
		{EndpointPost, "POST DELETE", "{node}", "", graph(e.posts.change)},
	}
}

// findRoute finds the row for a call, and sets the call's node and permission.
func (s *server) findRoute(c *call) route {
	if c.method() == http.MethodPost && c.param("batch") != "" && !c.batched {
		return route{endpoint: EndpointBatch, serve: s.batch} // on any path: Meta's sample posts a batch to /me
	}
	if c.asksForIDs() {
		return route{endpoint: EndpointMe, serve: s.ids}
	}
	for _, r := range s.routes {
		if c.matches(r) && c.mayReach(r) {
			return r
		}
	}
	return route{endpoint: EndpointUnknown, serve: s.unknown}
}

// isPage reports whether the route belongs to www.facebook.com. Batches do not reach it.
func (r route) isPage() bool {
	return slices.Contains([]string{
		EndpointIndex, EndpointDialog, EndpointDevicePage, EndpointDiscovery, EndpointJWKS, EndpointPictureFile,
	}, r.endpoint)
}

// mayReach separates calls of the Graph API from www.facebook.com. Of the latter's routes only the dialog has versions,
// and a call to / with a token is not for the index. All other paths below a version answer in JSON.
func (c *call) mayReach(r route) bool {
	switch {
	case !r.isPage():
		return true
	case r.endpoint == EndpointIndex && (c.accessToken() != "" || c.query.Has("ids")):
		return false
	}
	return !c.batched && (c.version == "" || r.endpoint == EndpointDialog)
}

// matches reports whether the call fits the row, and sets the call's node and permission.
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
		case segment == "{node}" && have[i] != "" && !strings.Contains(have[i], "."): // browsers request favicon.ico, which is not a node
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
