from django.urls import path
from shop import views

urlpatterns = [
    path("signup", views.sign_up),
    path("login", views.log_in),
    path("logout", views.log_out),
    path("orders", views.place_order),
    path("orders/<int:pk>", views.one_order),
    path("orders/<int:pk>/tags", views.tags),
    path("orders/<int:pk>/pay", views.pay),
    path("stocktaking", views.stocktaking),
    path("broken", views.broken),
]
