// Package paths is the engine's HTTP API: one file for each family of paths, named for its
// word in the URL. It turns requests into calls of the packages below and their results
// into answers; it decides nothing.
package paths

import (
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/upkeep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

// Deps are the packages that the paths call.
type Deps struct {
	Store         *store.Store
	Flow          *flow.Flow
	Pages         *pages.Pages
	Refresh       *refresh.Refresher
	Removal       *removal.Remover
	DataDeletions *removal.DataDeletions
	Upkeep        *upkeep.Upkeep
	Notifications *notification.Receiver
	Breaker       *breaker.Breaker
	Worker        *sweep.Worker
	// Providers are the names of the providers that can be configured.
	Providers []string
	// Versions returns the versions of each provider's API that can be configured.
	Versions func() map[string][]string
	Metrics  Metrics
	Build    version.Build
	Now      func() time.Time
}

// All returns every path of the engine. The framework tries the patterns in this order, so
// the paths that are read most come first.
func All(d Deps) []*framework.Path {
	return framework.PathAppend(
		creds(d.Store, d.Refresh, d.Pages, d.Removal, d.Flow.Import, d.Now),
		static(d.Refresh, d.Removal, d.Flow.ImportStatic, d.Now),
		config(d.Store, d.Breaker, d.Upkeep, d.Flow.Verify, d.Providers, d.Now),
		connect(d.Flow),
		callback(d.Flow),
		sessions(d.Flow, d.Now),
		connections(d.Store, d.Refresh, d.Pages, d.Now),
		accounts(d),
		events(d.Store),
		tenants(d.Store, d.Removal, d.Upkeep),
		webhooks(d.Store, d.DataDeletions, d.Notifications),
		health(d),
		settings(d.Store, d.Upkeep),
		metrics(d.Metrics),
		info(d.Build, d.Versions),
	)
}

// Unauthenticated are the paths that Vault serves without a token.
var Unauthenticated = []string{"callback/+", "webhooks/+/deauthorize", "webhooks/+/data-deletion"}

// Segments of patterns. They capture any text, so that a parser can refuse it with a clear
// error. With a narrow pattern, the error would be "unsupported path".
const (
	providerSegment = `(?P<provider>[^/]+)`
	tenantSegment   = `(?P<tenant>[^/]+)`
	userSegment     = `(?P<user>[^/]+)`
	pageSegment     = `(?P<page>[^/]+)`
	nameSegment     = `(?P<name>[^/]+)`
	sessionSegment  = `(?P<session>[^/]+)`
	statusSegment   = `(?P<status>[^/]+)`
	accountSegment  = `(?P<account>[^/]+)`
	refPrefix       = tenantSegment + "/" + providerSegment
)

// A leaf is a pattern of refs, below <tenant>/<provider>. Its noun is part of the ids of
// operations.
type leaf struct {
	pattern string
	noun    string
	names   []string
}

var (
	// connectable are the refs that a person connects.
	connectable = []leaf{
		{"/installation", "installation", []string{"tenant", "provider"}},
		{"/users/" + userSegment, "user", []string{"tenant", "provider", "user"}},
	}
	// pageRefs are the refs of pages, which are reached through those.
	pageRefs = []leaf{
		{"/pages/" + pageSegment, "installation-page", []string{"tenant", "provider", "page"}},
		{"/users/" + userSegment + "/pages/" + pageSegment, "user-page", []string{"tenant", "provider", "user", "page"}},
	}
)

// refOf returns the ref that the request's path names.
func refOf(d *framework.FieldData) (tenant.Ref, error) {
	r := tenant.Ref{Tenant: tenant.ID(d.Get("tenant").(string)), Provider: d.Get("provider").(string)}
	for name, into := range map[string]*string{"user": &r.User, "page": &r.Page, "name": &r.Name} {
		if _, ok := d.Schema[name]; ok {
			*into = d.Get(name).(string)
		}
	}
	return r, r.Check()
}

// Check returns an error if a write has an unknown field, or any request a field of the
// wrong type. Vault ignores an unknown field, and turns a number into the string of a
// float. An unknown field of a read, list or delete is removed from the request, with a
// warning: some clients send the same parameters to every path.
//
// A path that takes arbitrary input has no error: all but strings is removed from the
// request. A request for an operation that the path does not have is not checked.
func Check(p *framework.Path, req *logical.Request) (warnings []string, err error) {
	if !has(p, req.Operation) {
		return nil, nil
	}
	for name, value := range req.Data {
		schema, known := p.Fields[name]
		if number, ok := value.(json.Number); ok && numeric[name] {
			value = number.String()
			req.Data[name] = value
		}
		_, isString := value.(string)
		switch {
		case p.TakesArbitraryInput:
			if !isString || captured[name] != nil {
				delete(req.Data, name)
			}
			continue
		case name == "list" && req.Operation == logical.ListOperation:
			continue
		case !known && req.Operation != logical.UpdateOperation:
			delete(req.Data, name)
			warnings = append(warnings, "the field "+strconv.Quote(name[:min(len(name), 64)])+" "+unknownField(p, name)+", and was ignored")
		case !known:
			return nil, oauth.Invalid(name, unknownField(p, name)+"; see vault path-help")
		case len(p.Operations) > 1 && schema.Query == (req.Operation == logical.UpdateOperation) && !both[name]:
			return nil, oauth.Invalid(name, "is not for this operation; see vault path-help")
		case captured[name] != nil && !schema.Query:
			return nil, oauth.Invalid(name, "stands in the path and cannot be given again")
		case !fits(p, name, value):
			return nil, oauth.Invalid(name, "must be %s", nouns[schema.Type])
		}
	}
	return warnings, nil
}

// has reports whether the path has the operation.
func has(p *framework.Path, op logical.Operation) bool {
	return p.Operations[op] != nil
}

// nearest returns the name that is most like a mistyped one, or "" if none is.
func nearest(name string, names iter.Seq[string]) (found string) {
	best := 1 + len(name)/3 // how many letters may differ
	for _, known := range slices.Sorted(names) {
		if d := levenshtein.Distance(name, known, nil); d < best || d == best && found == "" {
			best, found = d, known
		}
	}
	return found
}

// both are the fields that are for reads or deletes, and for writes too. Any other field of
// a path with several operations is for writes, or marked as one of a query.
var both = map[string]bool{"force": true}

// numeric are the fields that are strings in a query and may be numbers in JSON.
var numeric = map[string]bool{"error_code": true}

// fits reports whether value is of the field's type. Null is not, nor is "" where it does
// not mean a reset, although Vault takes both for the type's zero.
func fits(p *framework.Path, name string, value any) bool {
	schema := p.Fields[name]
	_, isString := value.(string)
	switch {
	case value == nil, schema.Type == framework.TypeString && !isString:
		return false
	case value == "" && schema.Type != framework.TypeString && schema.Type != framework.TypeCommaStringSlice:
		return resettable[name]
	}
	field := framework.FieldData{Raw: map[string]any{name: value}, Schema: p.Fields}
	return field.Validate() == nil
}

// nouns say in an error what a field must be.
var nouns = map[framework.FieldType]string{
	framework.TypeString:           "a string",
	framework.TypeBool:             "true or false",
	framework.TypeInt:              "a whole number",
	framework.TypeInt64:            "a whole number",
	framework.TypeDurationSecond:   `a duration, such as "10m" or 600`,
	framework.TypeCommaStringSlice: "a list of strings, or a string with commas",
}

// statuses are the HTTP statuses of the API's error codes.
var statuses = map[oauth.Code]int{
	oauth.InvalidRequest:       http.StatusBadRequest,
	oauth.NotFound:             http.StatusNotFound,
	oauth.NeedsReauth:          http.StatusConflict,
	oauth.Revoked:              http.StatusConflict,
	oauth.Failed:               http.StatusConflict,
	oauth.Suspended:            http.StatusConflict,
	oauth.InstallationRequired: http.StatusConflict,
	oauth.AccountMismatch:      http.StatusConflict,
	oauth.ActorMismatch:        http.StatusConflict,
	oauth.SessionUsed:          http.StatusConflict,
	oauth.SessionExpired:       http.StatusConflict,
	oauth.AccessDenied:         http.StatusConflict,
	oauth.Pending:              http.StatusConflict,
	oauth.Misconfigured:        http.StatusFailedDependency,
	oauth.Throttled:            http.StatusTooManyRequests,
	oauth.Unavailable:          http.StatusBadGateway,
}

// Coded turns an error of the packages below into one that has its HTTP status when Vault
// writes the answer. It must be returned as it is, without a response beside it. Errors of
// storage stay as they are: Vault knows them.
func Coded(err error) error {
	if errors.Is(err, store.ErrReadOnly) {
		return logical.ErrReadOnly
	}
	err = refusal(err)
	status, ok := statuses[oauth.CodeOf(err)]
	if !ok {
		return err
	}
	var e *oauth.Error
	errors.As(err, &e)
	return logical.CodedError(status, e.Error())
}

// refusal returns err with the code that the API has for it, if it has one.
func refusal(err error) error {
	var invalid *tenant.InvalidError
	if errors.As(err, &invalid) {
		return oauth.Errorf(oauth.InvalidRequest, "%w", invalid)
	}
	return provider.Refusal(err)
}

// Outcome returns how a request ended, by its response and the error of the packages below:
// "ok", a code of the API, "denied" to a caller that is bound to another tenant,
// "forwarded" to the node that may write, or "error".
func Outcome(resp *logical.Response, err error) string {
	switch {
	case err == nil && resp.IsError():
		return string(oauth.InvalidRequest) // the framework's, of a field
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrReadOnly):
		return "forwarded"
	case errors.Is(err, logical.ErrPermissionDenied):
		return "denied"
	}
	if code := oauth.CodeOf(refusal(err)); statuses[code] != 0 {
		return string(code)
	}
	return "error"
}

// seconds returns d as the API has durations.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// timestamp returns t as the API has times.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
