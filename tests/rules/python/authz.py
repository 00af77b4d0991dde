from fastapi import APIRouter, Depends, FastAPI

app = FastAPI()


@app.get("/orders")
def list_orders(user=Depends(get_current_user)):
    return []


# ok: vallum.python.fastapi-route-without-auth
@app.post("/orders")
def create_order(order: Order, user: User = Depends(get_current_user)):
    return order


# ruleid: vallum.python.fastapi-route-without-auth
@app.delete("/orders/{oid}")
def delete_order(oid: int):
    return {}


# ruleid: vallum.python.fastapi-route-without-auth
@app.get("/orders/export")
def export():
    return []


# ok: vallum.python.fastapi-route-without-auth
@app.get("/items")
def items():
    return []


# ok: vallum.python.fastapi-route-without-auth
@app.post("/login")
def login(body: Login):
    return {}


# ruleid: vallum.python.admin-route-without-guard, vallum.python.fastapi-route-without-auth
@app.get("/admin/users")
def users():
    return []


# ok: vallum.python.admin-route-without-guard
@app.get("/admin/stats")
def stats(user: User = Depends(require_admin)):
    return []


# ok: vallum.python.admin-route-without-guard
@app.get("/administration-guide")
def guide():
    return []


@app.get("/x")
def asserts(user: User = Depends(get_current_user)):
    # ruleid: vallum.python.assert-for-security-check
    assert user.is_admin, "no"
    # ok: vallum.python.assert-for-security-check
    assert len(items) > 0


def signin(name, password):
    user = find(name)
    # ruleid: vallum.python.password-compared-in-plain
    if user.password == password:
        return user
    # ruleid: vallum.python.password-compared-in-plain
    if not user or user["password"] != password:
        return None
    # ok: vallum.python.password-compared-in-plain
    if verify(user.password_hash, password):
        return user
    # ok: vallum.python.password-compared-in-plain
    if form.password == form.password2:
        return None
