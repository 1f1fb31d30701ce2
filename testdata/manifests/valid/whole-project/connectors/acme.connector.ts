export default class Acme {}
