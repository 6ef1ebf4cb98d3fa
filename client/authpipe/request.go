package authpipe

import (
	"fmt"
	"strings"
)

// DefaultProvider is the provider of a request that names none.
const DefaultProvider = "facebook"

// For says for whom a credential speaks.
type For string

const (
	// ForInstallation is the tenant's own credential: what an admin installed.
	ForInstallation For = "installation"
	// ForUser is the credential of one person of the tenant.
	ForUser For = "user"
	// ForAny is the user's credential, or the installation's if there is none of the user. It falls back only where the user
	// never connected (not_found). A user's credential that is dead, suspended or out of reach is an error all the same: to go
	// on in the installation's name would be to act as somebody else without a word. [Credential].Source tells who it was. Of a
	// page it falls back where the user has no way to that page.
	ForAny For = "any"
)

// A Request says which credential is wanted. It is comparable, and fit to be the key of a map.
type Request struct {
	Provider string // zero: DefaultProvider
	Tenant   string // required
	User     string // the application's id of the person

	// For says whose credential is wanted. It is required, except with Static: without it, an empty User would select the
	// installation's token. ForUser with an empty User is ErrInvalidRequest.
	For For

	// Page is the id of a page, whose own token is wanted, through the credential that the fields above name.
	Page string

	// Static is the name of an API key or webhook secret. It stands alone under tenant and provider: User, For and Page must
	// be zero.
	Static string
}

// invalid is why a request is refused before it is sent. The rules are the engine's; they are looked after here too
// because a name with a slash or ".." in it would address somebody else's credential.
func invalid(field, rule string) error {
	return &Error{Op: "reading a request", Code: ErrInvalidRequest, Message: fmt.Sprintf("field %q %s", field, rule)}
}

// refs returns the credential to look for first, and whether the installation's is wanted in its place if there is none.
func (q *Request) refs() (first ref, orInstallation bool, err error) {
	first = ref{tenant: q.Tenant, provider: q.Provider, user: q.User, page: q.Page, name: q.Static}
	if first.provider == "" {
		first.provider = DefaultProvider
	}
	switch {
	case q.Static != "":
		if q.User != "" || q.Page != "" || q.For != "" {
			return first, false, invalid("Static", "stands alone: User, Page and For must be zero")
		}
	case q.For == ForInstallation:
		first.user = ""
	case q.For == ForUser:
		if q.User == "" {
			return first, false, invalid("User", "is required for ForUser")
		}
	case q.For == ForAny:
		return first, q.User != "", nil
	default:
		return first, false, invalid("For", "must be ForInstallation, ForUser or ForAny")
	}
	return first, false, nil
}

// exact returns the credential that is meant where no other may take its place.
func (q *Request) exact() (ref, error) {
	r, _, err := q.refs()
	switch {
	case err != nil:
		return ref{}, err
	case q.For == ForAny:
		return ref{}, invalid("For", "must be ForInstallation or ForUser")
	}
	return r, r.check()
}

// A ref names one credential, as the engine's paths do. It is the key of the cache.
type ref struct{ tenant, provider, user, page, name string }

// above is the credential that a page is reached through, and that connecting mends.
func (r ref) above() ref { r.page = ""; return r }

func (r ref) source() For {
	switch {
	case r.name != "":
		return ""
	case r.user != "":
		return ForUser
	}
	return ForInstallation
}

// String returns the ref as the engine writes it.
func (r ref) String() string {
	s := r.tenant + "/" + r.provider
	if r.name != "" {
		return s + "/static/" + r.name
	}
	if r.user != "" {
		s += "/users/" + r.user
	}
	if r.page != "" {
		return s + "/pages/" + r.page
	}
	if r.user == "" {
		s += "/installation"
	}
	return s
}

// parseRef reads what String wrote; false if it did not.
func parseRef(s string) (ref, bool) {
	part := strings.Split(s, "/")
	if len(part) < 3 {
		return ref{}, false
	}
	r := ref{tenant: part[0], provider: part[1]}
	for rest := part[2:]; len(rest) > 1; rest = rest[2:] {
		switch rest[0] {
		case "users":
			r.user = rest[1]
		case "pages":
			r.page = rest[1]
		case "static":
			r.name = rest[1]
		}
	}
	return r, r.String() == s
}

// connectPath is where the person is sent who can mend r. Nobody connects what is static.
func (r ref) connectPath() string {
	if r.name != "" {
		return ""
	}
	return "connect/" + r.above().String()
}

const (
	tenantMarks = "._-"
	userMarks   = "._-@|:+=~"
)

// check refuses names that are none.
func (r ref) check() error {
	if err := checkName("tenant", r.tenant, 64, tenantMarks); err != nil {
		return err
	}
	if err := checkName("provider", r.provider, 32, "_-"); err != nil {
		return err
	}
	for _, part := range [][2]string{{"user", r.user}, {"page", r.page}, {"name", r.name}} {
		if part[1] != "" {
			if err := checkName(part[0], part[1], 128, userMarks); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkName(field, s string, most int, marks string) error {
	ok := s != "" && len(s) <= most && isAlphanumeric(s[0]) && !strings.Contains(s, "..")
	for i := 0; ok && i < len(s); i++ {
		ok = isAlphanumeric(s[i]) || strings.IndexByte(marks, s[i]) >= 0
	}
	if ok {
		return nil
	}
	return invalid(field, fmt.Sprintf("must be 1 to %d characters: a letter or digit, then letters, digits and any of %s, without \"..\"", most, marks))
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// request is what asks for r.
func (r ref) request() Request {
	return Request{Provider: r.provider, Tenant: r.tenant, User: r.user, For: r.source(), Page: r.page, Static: r.name}
}
