// Package admin stands in for the client of Google's directory, which the provider gsuite of auth method jwt uses.
package admin

import (
	"context"
	"encoding/json"

	"google.golang.org/api/option"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errDirectory = without.Error("provider gsuite of auth method jwt")

// Scopes of the directory.
const (
	AdminDirectoryGroupReadonlyScope = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	AdminDirectoryUserReadonlyScope  = "https://www.googleapis.com/auth/admin.directory.user.readonly"
)

// Service has no connection to Google.
type Service struct {
	Groups GroupsService
	Users  UsersService
}

// NewService returns an error. Vault calls it when jwt is configured with this provider.
func NewService(context.Context, ...option.ClientOption) (*Service, error) { return nil, errDirectory }

// GroupsService has no connection to Google.
type GroupsService struct{}

// List returns a call that returns an error.
func (GroupsService) List() GroupsCall { return GroupsCall{} }

// GroupsCall lists groups.
type GroupsCall struct{}

// UserKey returns the call.
func (c GroupsCall) UserKey(string) GroupsCall { return c }

// Domain returns the call.
func (c GroupsCall) Domain(string) GroupsCall { return c }

// Fields returns the call.
func (c GroupsCall) Fields(...string) GroupsCall { return c }

// Pages returns an error.
func (GroupsCall) Pages(context.Context, func(*Groups) error) error { return errDirectory }

// Groups is a page of groups.
type Groups struct{ Groups []*Group }

// Group is a group of the directory.
type Group struct{ Email string }

// UsersService has no connection to Google.
type UsersService struct{}

// Get returns a call that returns an error.
func (UsersService) Get(string) UserCall { return UserCall{} }

// UserCall gets a user.
type UserCall struct{}

// Context returns the call.
func (c UserCall) Context(context.Context) UserCall { return c }

// Projection returns the call.
func (c UserCall) Projection(string) UserCall { return c }

// CustomFieldMask returns the call.
func (c UserCall) CustomFieldMask(string) UserCall { return c }

// Fields returns the call.
func (c UserCall) Fields(...string) UserCall { return c }

// Do returns an error.
func (UserCall) Do() (*User, error) { return nil, errDirectory }

// User is a user of the directory.
type User struct{ CustomSchemas map[string]json.RawMessage }
