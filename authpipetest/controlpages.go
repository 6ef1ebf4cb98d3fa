package authpipetest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// pageTasks are the tasks that the control page offers, those of a page whose Tasks are nil.
var pageTasks = []string{"ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"}

// actOnPages performs the actions on pages, roles and names. It returns false if there is no such action, or nothing by
// that id.
func (c *control) actOnPages(r *http.Request) bool {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	d, page, user := c.f.directory, r.PostFormValue("page"), r.PostFormValue("user")
	switch r.PostFormValue("action") {
	case "take-role":
		known := d.mayHave(user, page)
		d.removeRole(page, user)
		return known
	case "give-role":
		var tasks []string
		if r.PostForm.Has("tasks") { // the page's form has the hidden field, so that no task at all differs from the page's own
			tasks = append([]string{}, r.PostForm["task"]...)
		}
		return d.setRole(page, user, tasks)
	case "portfolio":
		p := d.pages[page]
		if p == nil {
			return false
		}
		p.Portfolio, p.NeedsBusinessManagement = r.PostFormValue("business"), r.PostForm.Has("strict")
		return true
	case "rename":
		return r.PostFormValue("name") != "" && d.rename(r.PostFormValue("object"), r.PostFormValue("name"))
	case "page-list":
		return c.setPageList(r, user)
	}
	return false
}

func (c *control) setPageList(r *http.Request, user string) bool {
	empty, err := strconv.Atoi(cmp.Or(r.PostFormValue("empty"), "0"))
	if err != nil {
		return false
	}
	limit, err := strconv.Atoi(cmp.Or(r.PostFormValue("limit"), "0"))
	if err != nil || limit < 0 || user != "" && c.f.directory.users[user] == nil {
		return false
	}
	c.f.endpoints.nodes.lists.set(user, PageList{Empty: empty, Limit: limit, Endless: r.PostForm.Has("endless")})
	return true
}

type pageRow struct {
	ID, Name   string
	Portfolios []portfolioRow
	Strict     bool // see Page.NeedsBusinessManagement
	Roles      []roleRow
}

type portfolioRow struct {
	ID, Name string
	Chosen   bool
}

type roleRow struct {
	User, Name string
	Has        bool
	Tasks      []taskRow
}

type taskRow struct {
	Name string
	May  bool
}

// shownPages limits the pages on the control page.
const shownPages = 50

func (c *control) pageRows() []pageRow {
	var rows []pageRow
	for _, p := range sorted(c.f.directory.pages) {
		if len(rows) == shownPages {
			break
		}
		row := pageRow{ID: p.ID, Name: p.Name, Strict: p.NeedsBusinessManagement}
		for _, b := range sorted(c.f.directory.businesses) {
			row.Portfolios = append(row.Portfolios, portfolioRow{b.ID, b.Name, b.ID == p.Portfolio})
		}
		if p.Portfolio != "" && c.f.directory.businesses[p.Portfolio] == nil {
			row.Portfolios = append(row.Portfolios, portfolioRow{p.Portfolio, p.Portfolio, true})
		}
		for _, u := range c.f.directory.peopleInOrder() {
			row.Roles = append(row.Roles, c.roleRow(p, u))
		}
		rows = append(rows, row)
	}
	return rows
}

// roleRow is a person's role on a page. For a person without one it has the tasks of the role that they would get.
func (c *control) roleRow(p *Page, u *User) roleRow {
	row := roleRow{User: u.ID, Name: u.Name, Has: c.f.directory.mayHave(u.ID, p.ID)}
	may := p.Tasks
	if row.Has {
		may = c.f.directory.tasksOf(u.ID, p.ID)
	}
	for _, task := range append(slices.Clone(pageTasks), beyond(may, pageTasks)...) {
		row.Tasks = append(row.Tasks, taskRow{task, slices.Contains(may, task)})
	}
	return row
}

type listRow struct{ Owner, Text string }

// listRows are the lists of pages that do not answer as they should.
func (c *control) listRows() []listRow {
	var rows []listRow
	for person, answers := range c.f.endpoints.nodes.lists.answers {
		row := listRow{Owner: "Everyone else", Text: answers.text()}
		if person != "" {
			row.Owner = c.f.directory.nameOf(person)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b listRow) int { return cmp.Compare(a.Owner, b.Owner) })
	return rows
}

func (l PageList) text() string {
	var parts []string
	switch {
	case l.Empty < 0:
		parts = append(parts, "always empty")
	case l.Empty > 0:
		parts = append(parts, fmt.Sprintf("the next %d empty", l.Empty))
	}
	if l.Limit > 0 {
		parts = append(parts, fmt.Sprintf("at most %d at once", l.Limit))
	}
	if l.Endless {
		parts = append(parts, "without an end")
	}
	return strings.Join(parts, ", ")
}
