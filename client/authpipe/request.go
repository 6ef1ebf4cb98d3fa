package authpipe

import (
	"fmt"
	"strings"
)

// DefaultProvider is the provider of a request that names none.
const DefaultProvider = "facebook"

// For says whose credential a request is for.
type For string

const (
	// ForInstallation is the tenant's own credential, which an admin connected.
	ForInstallation For = "installation"
	// ForUser is the credential of one person of the tenant.
	ForUser For = "user"
	// ForAny is the user's credential, or the installation's if the user has none. It falls back only if the user never connected
	// (not_found), or has no access to the page. If the user's credential is dead, suspended or unavailable that is an error: with
	// the installation's the application would act in another name without notice. [Credential].Source is the one that was used.
	ForAny For = "any"
)

// A Request names a credential. It is comparable, so it can be the key of a map.
type Request struct {
	Provider string // zero: DefaultProvider
	Tenant   string // required
	User     string // the application's id of the person

	// For says whose credential the request is for. It is required, except with Static: without it, an empty User would select
	// the installation's token. ForUser with an empty User is ErrInvalidRequest.
	For For

	// Page is the id of a page whose own token is requested, through the credential that the fields above name.
	Page string

	// Static is the name of an API key or webhook secret. It belongs to a tenant and a provider: User, For and Page must be zero.
	Static string
}

// invalid returns the error of a request that is refused before it is sent. The engine has the same rules; they are checked here,
// too, because a name with a slash or ".." in it would lead to another credential.
func invalid(field, rule string) error {
	return &Error{Op: "reading a request", Code: ErrInvalidRequest, Message: fmt.Sprintf("field %q %s", field, rule)}
}

// refs returns the credential to read first, and whether to read the installation's if there is none.
func (q *Request) refs() (first ref, orInstallation bool, err error) {
	first = ref{tenant: q.Tenant, provider: q.Provider, user: q.User, page: q.Page, name: q.Static}
	if first.provider == "" {
		first.provider = DefaultProvider
	}
	switch {
	case q.Static != "":
		if q.User != "" || q.Page != "" || q.For != "" {
			return first, false, invalid("Static", "takes no User, Page or For")
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

// exact returns the one credential that q names. ForAny is an error, because it may name two.
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

// above returns the credential through which a page is reached, which is the one to connect.
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

// parseRef parses a ref as String writes it; false if s is none.
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

// connectPath returns the path that connects r; "" for a static credential, which cannot be connected.
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

// check refuses malformed names.
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

// request returns the Request for r.
func (r ref) request() Request {
	return Request{Provider: r.provider, Tenant: r.tenant, User: r.user, For: r.source(), Page: r.page, Static: r.name}
}
