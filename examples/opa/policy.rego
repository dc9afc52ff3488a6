# What examples/policy.toml says, in Rego: roles and their rules are in data.json, and what no rule allows is denied.
package gatepost

import rego.v1

default decision := {
	"allow": false,
	"reason": "Your role may not do all that this statement does.",
	"rule": "default",
	"hint": "Use only the tables, columns and functions that your role may, and name the columns in place of *.",
}

# The first of the agent's roles that allows the whole statement decides.
decision := {
	"allow": true,
	"rule": sprintf("roles.%s", [allowing[0]]),
	"rows": object.get(data.roles[allowing[0]], "rows", null),
}

decision := object.union({"allow": false}, advice[0]) if {
	count(allowing) == 0
	count(advice) > 0
}

allowing := [role |
	some role in input.identity.roles
	serves(role)
	is_understood
	every setting in input.facts.settings { setting[0] in data.settings }
	every verb in input.facts.verbs { may_begin(role, verb) }
	every use in input.facts.objects { may_use(role, use) }
	every function in input.facts.functions { function in data.functions }
]

# What is refused with advice of its own, the most important first.
advice := array.concat(array.concat(far, denied), unbounded)

far := [{
	"reason": "Your role may not be used from where you are.",
	"rule": sprintf("roles.%s.networks", [role]),
	"hint": "Ask the gateway's operator from where it may be.",
} |
	some role in input.identity.roles
	not is_near(role)
]

denied := [{
	"reason": sprintf("Your role may not %s some of these columns of %s.", [use.verb, use.name]),
	"rule": sprintf("roles.%s.deny", [role]),
	"hint": "Name the columns that you need in place of *, and leave out those that hold personal data.",
} |
	some role in input.identity.roles
	some use in input.facts.objects
	is_denied(role, use)
]

unbounded := [{
	"reason": sprintf("This would %s every row of %s.", [use.verb, use.name]),
	"rule": "unbounded",
	"hint": "Say which rows with WHERE.",
} |
	some use in input.facts.objects
	is_unbounded(use)
]

# Names must be those of the database's catalogue: in a text alone, "cards" may be anybody's.
is_understood if {
	input.facts.is_resolved
	input.facts.effect == "read"
}

# A write must be one on a table: SELECT … FOR UPDATE, or a function that writes, has none.
is_understood if {
	input.facts.is_resolved
	input.facts.effect == "write"
	some use in input.facts.objects
	use.verb in {"insert", "update", "delete", "merge"}
}

# Of what controls the session, no function: notifications and advisory locks reach others.
is_understood if {
	input.facts.effect == "control"
	count(input.facts.functions) == 0
}

# How long and how deep a role's statements may be, and from where it may be used.
serves(role) if {
	input.statement.length <= object.get(data.roles[role], "max_length", 1000000)
	input.facts.depth <= object.get(data.roles[role], "max_depth", 100)
	is_near(role)
}

# Networks are given as what their addresses begin with.
is_near(role) if not data.roles[role].networks

is_near(role) if {
	some network in data.roles[role].networks
	startswith(input.session.client, network)
}

# Transactions are for every role, and so are the settings that are named; another statement needs a rule with its verb.
may_begin(_, verb) if verb in {"begin", "commit", "rollback", "savepoint", "rollback_to", "release", "set"}

may_begin(role, verb) if {
	some rule in data.roles[role].allow
	verb in rule.do
}

may_use(role, use) if {
	not is_denied(role, use)
	some rule in data.roles[role].allow
	use.verb in rule.do
	is_time(rule)
	is_enough(rule, use)
	some pattern
	columns := rule.on[pattern]
	glob.match(pattern, ["."], use.name)
	has(columns, use)
}

# In UTC. Where the input has no time, a rule with hours allows nothing.
is_time(rule) if not rule.hours

is_time(rule) if {
	input.time.weekday in rule.hours.days
	input.time.hour >= rule.hours.from
	input.time.hour < rule.hours.to
}

is_enough(_, use) if not is_unbounded(use)

is_enough(rule, _) if rule.unbounded

is_unbounded(use) if {
	use.verb in {"update", "delete"}
	not use.is_bounded
}

has(columns, _) if "*" in columns

# Columns that are not known (null) are not all among those that are allowed, and may be among those that are denied.
has(columns, use) if {
	is_array(use.columns)
	every column in use.columns { column in columns }
}

is_denied(role, use) if {
	some rule in data.roles[role].deny
	use.verb in rule.do
	some pattern
	columns := rule.on[pattern]
	glob.match(pattern, ["."], use.name)
	touches(columns, use)
}

touches(_, use) if is_null(use.columns)

touches(columns, use) if {
	some column in use.columns
	column in columns
}
