from gatepost import Deny, Statement, hookimpl


@hookimpl
def on_statement(statement: Statement) -> Deny | None:
    if any(use.verb == "delete" for use in statement.facts.objects):
        instead = "Insert an order with a negative amount."
        return Deny(reason="orders are never deleted", hint=instead)
    return None
