package authpipetest

import "slices"

// RemovePageRole removes a person's role on a page. The person's page tokens for it are refused with 190/492, and the
// page is no longer in their list. Their user tokens stay valid.
func (f *Facebook) RemovePageRole(pageID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.removeRole(pageID, userID)
}

func (d *directory) removeRole(page, person string) {
	if u := d.users[person]; u != nil {
		u.Pages = slices.DeleteFunc(u.Pages, func(id string) bool { return id == page })
		delete(u.Tasks, page)
	}
}

// SetPageRole gives a person or a system user a role on a page, or changes the tasks of the one that they have. Nil
// tasks are those of the page. Empty tasks are a role without rights: the page stays in the person's list, without an
// access_token, and their page tokens for it are refused with 190/492. SetPageRole does nothing if there is no such
// page or person.
func (f *Facebook) SetPageRole(pageID, userID string, tasks []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.setRole(pageID, userID, tasks)
}

func (d *directory) setRole(page, person string, tasks []string) (known bool) {
	u := d.users[person]
	if u == nil || d.pages[page] == nil {
		return false
	}
	if !slices.Contains(u.Pages, page) {
		u.Pages = append(u.Pages, page)
	}
	if delete(u.Tasks, page); tasks == nil {
		return true
	}
	if u.Tasks == nil {
		u.Tasks = map[string][]string{}
	}
	u.Tasks[page] = slices.Clone(tasks)
	return true
}

// mayHave reports whether the person has a role on the page.
func (d *directory) mayHave(person, page string) bool {
	u := d.users[person]
	return u != nil && d.pages[page] != nil && slices.Contains(u.Pages, page)
}

// tasksOf returns the tasks that the person may perform on the page. Empty: they have no rights on it, and no page token.
func (d *directory) tasksOf(person, page string) []string {
	if !d.mayHave(person, page) {
		return nil
	}
	if own, has := d.users[person].Tasks[page]; has {
		return own
	}
	return d.pages[page].Tasks
}
