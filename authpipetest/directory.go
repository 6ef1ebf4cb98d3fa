package authpipetest

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
)

// App is a client that is registered with Facebook ("App Dashboard").
type App struct {
	ID     string // the client id, a decimal string at Facebook
	Secret string
	// ClientToken is the half of a client access token that is no secret ("Login for Devices"). Empty: no device login.
	ClientToken string
	Name        string // shown at the dialog and told by debug_token; zero: "Demo"
	// RedirectURIs are the "Valid OAuth Redirect URIs", which a login has to match to the letter.
	RedirectURIs []string
	// RequireAppSecret is the setting "Require App Secret": calls with a token need an appsecret_proof ("Login Security").
	RequireAppSecret bool
	// Version serves calls that name none ("Upgrade API version"). Zero: the oldest version that is alive.
	Version string
	// DeauthorizeURL is told when a person removes the app, DataDeletionURL when they want their data deleted as well. Empty:
	// nobody is told. See [Facebook.Deliver].
	DeauthorizeURL, DataDeletionURL string
	// Developers are the people whose user tokens debug_token accepts besides the app token.
	Developers []string
}

// User is a person with a Facebook account.
type User struct {
	ID    string // the person; what an app sees is the app-scoped id, see [Facebook.ScopedID]
	Name  string
	Email string   // empty: no confirmed address, so that an app is given none
	Pages []string // ids of the pages on which the person has a role
	// Profile has further fields by name, such as birthday: "05/16/1990". Those that need a permission are absent without it
	// ("Permissions Reference"). Fields that Facebook documents and this does not have are absent.
	Profile map[string]any
}

// Page is a Facebook Page.
type Page struct {
	ID       string
	Name     string
	Category string   // zero: "Brand"
	Tasks    []string // what those with a role may do there; zero: everything
	Username string   // the name in the page's URL; empty: none
	// Instagram is the id of the professional account at Instagram that the page is linked with, for tokens with
	// instagram_basic. Empty: none.
	Instagram string
	// Portfolio is the id of the business portfolio that holds the page. A person's list of pages has it only for tokens with
	// business_management; the page itself answers to its id all the same. Empty: none does.
	Portfolio string
	// Fields has further fields by name, such as fan_count or about, for tokens with pages_read_engagement. Fields that
	// Facebook documents and this does not have are absent.
	Fields map[string]any
}

// AddApp registers an app, or replaces the one with that id.
func (f *Facebook) AddApp(a App) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Name == "" {
		a.Name = "Demo"
	}
	a.RedirectURIs, a.Developers = slices.Clone(a.RedirectURIs), slices.Clone(a.Developers)
	f.books.apps[a.ID] = &a
}

// AddUser gives a person an account, or replaces the one with that id.
func (f *Facebook) AddUser(u User) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u.Pages, u.Profile = slices.Clone(u.Pages), maps.Clone(u.Profile)
	if _, known := f.books.users[u.ID]; !known {
		f.books.people = append(f.books.people, u.ID)
	}
	f.books.users[u.ID] = &u
}

// AddPage founds a page, or replaces the one with that id.
func (f *Facebook) AddPage(p Page) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Category == "" {
		p.Category = "Brand"
	}
	if p.Tasks == nil {
		p.Tasks = []string{"ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"}
	}
	p.Tasks, p.Fields = slices.Clone(p.Tasks), maps.Clone(p.Fields)
	f.books.pages[p.ID] = &p
}

// SetAppSecret resets an app's secret. App tokens and proofs made of the former secret are refused from here on; tokens of
// people live on. An app that does not exist is left alone.
func (f *Facebook) SetAppSecret(appID, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if app := f.books.apps[appID]; app != nil {
		app.Secret = secret
	}
}

// ScopedID is the id by which an app knows a person ("App-Scoped User IDs"). Each app gets another, the same at every
// call. It is a decimal number above 2^53: one that does not survive being read into a float.
func (f *Facebook) ScopedID(appID, userID string) string {
	const above = 10_000_000_000_000_000 // 17 digits; 2^53 has 16
	sum := sha256.Sum256([]byte(appID + "\x00" + userID))
	return strconv.FormatUint(above+binary.BigEndian.Uint64(sum[:])%(9*above), 10)
}

// hasSecret compares plainly, and not in constant time: the simulator guards nothing.
func (a *App) hasSecret(secret string) bool {
	return secret != "" && secret == a.Secret
}

// mayHave tells whether the person still has a role on the page.
func (b *books) mayHave(person, page string) bool {
	u := b.users[person]
	return u != nil && b.pages[page] != nil && slices.Contains(u.Pages, page)
}
