// A style sheet that is imported is its text: build.mjs says so.
declare module "*.css" {
  const text: string;
  export default text;
}
