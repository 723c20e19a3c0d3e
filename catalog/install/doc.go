// Package install owns installs, from the recipe to the answer of the service, and the models that came of them: revisions,
// pins, what uses them, and their removal. An install is a row that a loop carries on, and goes on after a crash. It knows
// services, devices and images by the few verbs that it asks for; the daemon adapts.
package install
