import LTMSupport
