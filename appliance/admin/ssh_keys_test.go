package admin_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/people"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHH8o6H4kzIYdEBQ0x5dZ3xVb5vKfZzJ0oV2yWz8u1aB ada@desk"

// TestAnSSHKeyBeforeAProject: who has a part in no project yet keeps their key all the same, for those that come.
func TestAnSSHKeyBeforeAProject(t *testing.T) {
	w := newTown(t)
	if _, _, err := w.Users.Create(t.Context(), people.Wish{Name: "new", Password: birds, Keep: true}); err != nil {
		t.Fatal(err)
	}
	if answer := w.as("new", "GET", "/ssh-keys", ""); answer.Code != 200 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if answer := w.as("new", "POST", "/ssh-keys?project=red", `{"key":"`+publicKey+`"}`); answer.Code != 404 {
		t.Errorf("for a project of others: %d %s", answer.Code, answer.Body)
	}
	if answer := w.as("new", "POST", "/ssh-keys", `{"key":"`+publicKey+`"}`); answer.Code != 201 || strings.Contains(answer.Body.String(), `"project"`) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if answer := w.as("new", "DELETE", "/ssh-keys/ada@desk", ""); answer.Code != 204 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// TestAnSSHKeyOfSeveralProjects: who has a part in several, and none in the default one, need not say which.
func TestAnSSHKeyOfSeveralProjects(t *testing.T) {
	w := newTown(t)
	if _, _, err := w.Users.Create(t.Context(), people.Wish{Name: "new", Password: birds, Keep: true}); err != nil {
		t.Fatal(err)
	}
	for _, project := range []string{"red", "blue"} {
		if _, err := w.Project.SetMember(t.Context(), people.Membership{Project: project, User: "new", Role: people.Member}, true); err != nil {
			t.Fatal(err)
		}
	}
	if answer := w.as("new", "POST", "/ssh-keys?project=vision", `{"key":"`+publicKey+`"}`); answer.Code != 404 {
		t.Errorf("for a project of others: %d %s", answer.Code, answer.Body)
	}
	if answer := w.as("new", "POST", "/ssh-keys", `{"key":"`+publicKey+`"}`); answer.Code != 201 || strings.Contains(answer.Body.String(), `"project"`) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
