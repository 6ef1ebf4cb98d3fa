package authpipetest

import "net/http"

var deviceTemplate = pageTemplate("device.html")

// devicePage is where a person types in the code that a device shows.
func (f *Facebook) devicePage(c *call) answer {
	shown := map[string]any{"Code": c.query.Get("user_code"), "People": f.peopleInOrder()}
	if c.request.Method == http.MethodPost {
		consent := Consent{User: c.form.Get("user"), Cancel: c.form.Get("action") != "continue"}
		shown["Code"] = c.form.Get("user_code")
		if err := f.approveDevice(c.form.Get("user_code"), consent); err != nil {
			shown["Error"] = err.Error()
		} else {
			shown["Done"] = true
		}
	}
	return f.htmlAnswer(http.StatusOK, deviceTemplate, shown)
}

func (f *Facebook) peopleInOrder() []*User {
	var people []*User
	for _, id := range f.books.people {
		people = append(people, f.books.users[id])
	}
	return people
}
