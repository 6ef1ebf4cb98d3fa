// Package tenant has the owner of credentials: the tenant's id, the refs of the
// credentials below it, and the keys that seal them.
package tenant

import (
	"fmt"
	"strings"
)

// An ID names a tenant: the organization or workspace that owns credentials.
// It is the security boundary, the unit of encryption and of policy.
type ID string

// Kind is the kind of a credential.
type Kind string

// The kinds, as the API's credential_for field has them.
const (
	Installation Kind = "installation"
	User         Kind = "user"
	Page         Kind = "page"
	Static       Kind = "static"
)

// A Ref names one credential:
//
//	<tenant>/<provider>/installation
//	<tenant>/<provider>/users/<user>
//	<tenant>/<provider>/pages/<page>                through the installation
//	<tenant>/<provider>/users/<user>/pages/<page>   through that user
//	<tenant>/<provider>/static/<name>
//
// The tenant comes first, so that a policy scopes a tenant by prefix. Refs are
// comparable. The zero Ref names nothing.
type Ref struct {
	Tenant   ID
	Provider string
	User     string
	Page     string
	Name     string
}

// An InvalidError is returned if a name breaks the rule for its kind.
type InvalidError struct {
	// Field is the API's name of the invalid field: "tenant", "user", ….
	Field string
	// Rule is the rule for it: "must be …".
	Rule string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("field %q %s", e.Field, e.Rule) }

const (
	tenantMarks = "._-"
	userMarks   = "._-@|:+=~"
)

// ParseID returns s as the ID of a tenant, or an [*InvalidError].
func ParseID(s string) (ID, error) {
	return ID(s), checkName("tenant", s, 64, tenantMarks)
}

// CheckProvider returns an [*InvalidError] if s cannot be a provider's name.
func CheckProvider(s string) error {
	return checkName("provider", s, 32, "_-")
}

// CheckUser returns an [*InvalidError] if s cannot be the id of a user.
func CheckUser(s string) error { return checkName("user", s, 128, userMarks) }

// CheckPage is like [CheckUser], for the id of a page.
func CheckPage(s string) error { return checkName("page", s, 128, userMarks) }

// CheckName is like [CheckUser], for the name of a static credential.
func CheckName(s string) error { return checkName("name", s, 128, userMarks) }

// CheckAccount is like [CheckUser], for a provider's id of an account or a
// business.
func CheckAccount(s string) error { return checkName("account", s, 128, "._-") }

func checkName(field, s string, max int, marks string) error {
	ok := s != "" && len(s) <= max && isAlphanumeric(s[0]) && !strings.Contains(s, "..")
	for i := 0; ok && i < len(s); i++ {
		ok = isAlphanumeric(s[i]) || strings.IndexByte(marks, s[i]) >= 0
	}
	if ok {
		return nil
	}
	return &InvalidError{field, fmt.Sprintf("must be 1 to %d characters: a letter or digit, then letters, digits and any of %s, without \"..\"", max, strings.Join(strings.Split(marks, ""), " "))}
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Check returns an [*InvalidError] for the first part of r that is not a valid
// name.
func (r Ref) Check() error {
	if _, err := ParseID(string(r.Tenant)); err != nil {
		return err
	}
	if err := CheckProvider(r.Provider); err != nil {
		return err
	}
	for _, part := range []struct {
		s     string
		check func(string) error
	}{{r.User, CheckUser}, {r.Page, CheckPage}, {r.Name, CheckName}} {
		if part.s != "" {
			if err := part.check(part.s); err != nil {
				return err
			}
		}
	}
	return nil
}

// ParseRef returns the Ref that s, in the form of [Ref.String], names. Its
// error is an [*InvalidError].
func ParseRef(s string) (Ref, error) {
	part := strings.Split(s, "/")
	r := Ref{}
	switch {
	case len(part) == 3 && part[2] == "installation":
	case len(part) == 4 && part[2] == "users" && part[3] != "":
		r.User = part[3]
	case len(part) == 4 && part[2] == "pages" && part[3] != "":
		r.Page = part[3]
	case len(part) == 4 && part[2] == "static" && part[3] != "":
		r.Name = part[3]
	case len(part) == 6 && part[2] == "users" && part[4] == "pages" && part[3] != "" && part[5] != "":
		r.User, r.Page = part[3], part[5]
	default:
		return Ref{}, &InvalidError{"ref", "must be <tenant>/<provider>/ and then installation, users/<user>, pages/<page>, users/<user>/pages/<page> or static/<name>"}
	}
	r.Tenant, r.Provider = ID(part[0]), part[1]
	return r, r.Check()
}

// Kind returns the kind of the credential.
func (r Ref) Kind() Kind {
	switch {
	case r.Page != "":
		return Page
	case r.User != "":
		return User
	case r.Name != "":
		return Static
	}
	return Installation
}

// Above returns the ref of the credential that a page is reached through. For any
// other ref it returns the ref itself.
func (r Ref) Above() Ref {
	r.Page = ""
	return r
}

// Installation returns the ref of the installation that r is under.
func (r Ref) Installation() Ref { return Ref{Tenant: r.Tenant, Provider: r.Provider} }

// String returns the ref in the form of API paths, with slashes.
func (r Ref) String() string {
	s := string(r.Tenant) + "/" + r.Provider
	switch {
	case r.Name != "":
		return s + "/static/" + r.Name
	case r.User != "" && r.Page != "":
		return s + "/users/" + r.User + "/pages/" + r.Page
	case r.Page != "":
		return s + "/pages/" + r.Page
	case r.User != "":
		return s + "/users/" + r.User
	}
	return s + "/installation"
}

// Flat returns the ref as one segment of a storage key, with commas, which no
// name contains.
func (r Ref) Flat() string { return strings.ReplaceAll(r.String(), "/", ",") }

// ParseFlat returns the Ref that s, in the form of [Ref.Flat], names.
func ParseFlat(s string) (Ref, error) { return ParseRef(strings.ReplaceAll(s, ",", "/")) }
